#!/usr/bin/env bash
# Private Docker engines, for tests, measurements and people. Everything of an engine lies in DIR and dies with `stop`.
#
#   engine.sh start KIND DIR    starts an engine, prints its DOCKER_HOST once it answers; DIR/env holds all its variables
#   engine.sh shared KIND DIR   the same, but an engine that already runs in DIR is used
#   engine.sh stop DIR          ends the engine and every process in its containers
#   engine.sh wipe DIR          throws the data of a stopped engine away
#   engine.sh sweep DIR         removes the empty cgroups of all engines below DIR, which died with their namespaces
#   engine.sh docker KIND ...   runs the docker command line (with buildx) of the same version
#   engine.sh compose           prints the path of docker compose, which runs with any of the engines
#   engine.sh roots [KIND...]   makes the Debian roots of the newer engines beforehand
#   engine.sh root KIND         prints where such a root is
#
# KIND: own, 20.10, 26, 28 (graphdriver stores), 28-containerd, and any of them with -tls: TCP on loopback with mutual
# TLS. `own` is this machine's dockerd of whatever version, and 20.10 too, on Debian bookworm; 26 and 28 come from Debian
# trixie and sid, each in a root of its own under $REMORA_TEST_CACHE (/var/cache/remora-test).
#
# $REMORA_ENGINE_BRIDGE names a bridge device for containers. Without one the engine has none, and RUN steps use
# `--network host`. An engine without a bridge deletes docker0: so that is refused where a docker0 is; tests/run.sh
# starts its engines in a network namespace of their own. $REMORA_ENGINE_INSECURE names registries (HOST:PORT, by spaces)
# that speak plain http, beside those on loopback, which may always. $REMORA_ENGINE_GIT=no hides git from the engine, as in
# images of dind that have none. $REMORA_ENGINE_RUNTIME is a program that stands for runc, $REMORA_ENGINE_MTU the largest
# packet on the bridge, in bytes. $REMORA_ENGINE_CONFIG is a daemon.json to start with in place of the one made here; its
# paths lie below DIR, and the socket is DIR/engine.sock.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/net.sh
source "$here/net.sh"
# shellcheck source=tests/lib/debian.sh
source "$here/debian.sh"
cache=${REMORA_TEST_CACHE:-/var/cache/remora-test}

fail() {
  echo "engine.sh: $*" >&2
  exit 1
}

# The Debian release that has an engine of KIND; nothing for the machine's own.
release_of() {
  case ${1%-tls} in
    own | 20.10) ;;
    26) echo trixie ;;
    28 | 28-containerd) echo sid ;;
    *) fail "unknown kind of engine '$1': own, 20.10, 26, 28, 28-containerd, or one of them with -tls" ;;
  esac
}

# Makes the root of a Debian release if it is missing, and prints its path.
root_of() {
  local release=$1 root=$cache/$1 new
  if [[ ! -d $root ]]; then
    mkdir -p "$cache"
    exec 9>"$cache/.$release.lock"
    flock 9
    if [[ ! -d $root ]]; then
      new=$(mktemp -d "$cache/.$release.XXXXXX")
      echo "engine.sh: making the root of Debian $release in $root (a minute)" >&2
      debian_tree "$release" "$new" docker.io,docker-cli,docker-buildx,ca-certificates,iptables,git,openssh-client ||
        fail "no root for Debian $release"
      chmod 755 "$new"
      mv "$new" "$root"
    fi
    exec 9>&-
  fi
  # Roots of an earlier time have none.
  [[ -x $root/usr/bin/git ]] || add "$root" git openssh-client >&2 || fail "no git for Debian $release"
  echo "$root"
}

# Adds packages to a root: add ROOT PACKAGE...
add() (
  exec 9>"$cache/.git.lock"
  flock 9
  chroot "$1" apt-get update -qq
  chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends "${@:2}"
)

# A certificate authority with a server's and a client's certificate, as DOCKER_CERT_PATH wants them.
make_certs() {
  local dir=$1 name
  mkdir -p "$dir"
  (
    cd "$dir"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=remora test CA" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout ca-key.pem -out ca.pem
    for name in server client; do
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout $name-key.pem -out $name.csr
      openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 30 -out $name.pem -extfile <(
        echo "extendedKeyUsage=${name}Auth"
        echo "subjectAltName=IP:127.0.0.1,DNS:localhost"
      )
    done
    mv client.pem cert.pem
    mv client-key.pem key.pem
  ) 2>/dev/null
}

# Whether a kind is Docker 20.10: `own` may be.
is_20_10() { [[ -z $(release_of "$1") && $(dockerd --version) == *" 20.10."* ]]; }

# $REMORA_ENGINE_INSECURE as JSON strings. 20.10's BuildKit heeds only what has a scheme, newer ones want none.
insecure_registries() {
  local scheme='' list='' host
  ! is_20_10 "$1" || scheme=http://
  for host in $REMORA_ENGINE_INSECURE; do list+="${list:+, }\"$scheme$host\""; done
  echo "$list"
}

# The engine's configuration; its paths are seen from inside its root.
write_config() {
  local kind=$1 dir=$2 inside=$3 port=$4
  if [[ -n ${REMORA_ENGINE_CONFIG:-} ]]; then
    sed "s|$dir|$inside|g" "$REMORA_ENGINE_CONFIG" >"$dir/daemon.json"
    return
  fi
  {
    echo '{'
    echo "  \"data-root\": \"$inside/data\", \"exec-root\": \"$inside/exec\", \"pidfile\": \"$inside/docker.pid\","
    echo "  \"bridge\": \"${REMORA_ENGINE_BRIDGE:-none}\", \"iptables\": false, \"ip6tables\": false, \"ip-forward\": false, \"ip-masq\": false,"
    # A cgroup per engine, so that `stop` can remove what is left of it.
    echo "  \"exec-opts\": [\"native.cgroupdriver=cgroupfs\"], \"cgroup-parent\": \"$(cgroup_of "$dir")\","
    # 20.10 would write its key into /etc/docker; newer ones do not know the word.
    ! is_20_10 "$kind" || echo "  \"deprecated-key-path\": \"$inside/key.json\","
    [[ -z ${REMORA_ENGINE_INSECURE:-} ]] || echo "  \"insecure-registries\": [$(insecure_registries "$kind")],"
    [[ -z ${REMORA_ENGINE_RUNTIME:-} ]] ||
      echo "  \"runtimes\": {\"test\": {\"path\": \"$REMORA_ENGINE_RUNTIME\"}}, \"default-runtime\": \"test\","
    [[ -z ${REMORA_ENGINE_MTU:-} ]] || echo "  \"mtu\": $REMORA_ENGINE_MTU,"
    [[ ${kind%-tls} != 28-containerd ]] || echo '  "features": {"containerd-snapshotter": true},'
    if [[ -n $port ]]; then
      echo "  \"tlsverify\": true, \"tlscacert\": \"$inside/certs/ca.pem\","
      echo "  \"tlscert\": \"$inside/certs/server.pem\", \"tlskey\": \"$inside/certs/server-key.pem\","
      echo "  \"hosts\": [\"tcp://127.0.0.1:$port\", \"unix://$inside/engine.sock\"]"
    else
      echo "  \"hosts\": [\"unix://$inside/engine.sock\"]"
    fi
    echo '}'
  } >"$dir/daemon.json"
}

cgroup_of() { echo "/remora${1//\//-}"; }

# Runs in namespaces of its own for mounts and processes: prepares the root, then becomes dockerd.
run_inside() {
  local kind=$1 dir=$2 release root fs
  release=$(release_of "$kind")
  if [[ -z $release ]]; then
    # A containerd that already runs on this machine must not be found, nor its state touched.
    for fs in /run/containerd /run/docker; do
      mkdir -p $fs
      mount -t tmpfs tmpfs $fs
    done
    hide_git ''
    # What an engine that is killed leaves goes with its directory.
    mkdir -p "$dir/tmp"
    export TMPDIR=$dir/tmp
    exec dockerd --config-file "$dir/daemon.json"
  fi
  root=$cache/$release
  # Layers are extracted after a pivot_root, which wants the root to be a mount point.
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  for fs in run tmp; do mount -t tmpfs tmpfs "$root/$fs"; done
  hide_git "$root"
  mkdir "$root/run/engine"
  mount --bind "$dir" "$root/run/engine"
  exec chroot "$root" dockerd --config-file /run/engine/daemon.json
}

# What is no program cannot be found as one.
hide_git() {
  local program
  [[ ${REMORA_ENGINE_GIT:-} == no ]] || return 0
  for program in "$1"/usr/bin/git "$1"/usr/local/bin/git; do
    [[ ! -e $program ]] || mount --bind /dev/null "$program"
  done
}

start() {
  local kind=$1 dir=$2 release inside port='' host
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  release=$(release_of "$kind")
  [[ $EUID == 0 ]] || fail "an engine needs root"
  [[ -n ${REMORA_ENGINE_BRIDGE:-} || ! -e /sys/class/net/docker0 ]] ||
    fail "a Docker engine with its bridge docker0 lives here, and an engine without a bridge would delete it; run under 'unshare --net', or set REMORA_ENGINE_BRIDGE"
  inside=$dir
  if [[ -n $release ]]; then
    root_of "$release" >/dev/null
    inside=/run/engine
  fi
  if [[ $kind == *-tls ]]; then
    [[ -d $dir/certs ]] || make_certs "$dir/certs"
    # An engine that is started again keeps its address.
    port=$(cat "$dir/port" 2>/dev/null || free_port)
    echo "$port" >"$dir/port"
  fi
  write_config "$kind" "$dir" "$inside" "$port"
  # Ids of processes in an earlier namespace mean others in the next one.
  rm -rf "$dir/engine.sock" "$dir/docker.pid" "$dir/exec"
  unshare --mount --pid --fork --kill-child --mount-proc \
    "$here/engine.sh" run-inside "$kind" "$dir" </dev/null >>"$dir/engine.log" 2>&1 9>&- &
  echo $! >"$dir/engine.pid"
  host=unix://$dir/engine.sock
  await 60 $! curl -fs --unix-socket "$dir/engine.sock" http://engine/_ping || {
    tail -20 "$dir/engine.log" >&2
    reap "$dir/engine.pid"
    fail "the engine $kind did not start: $dir/engine.log"
  }
  {
    if [[ -n $port ]]; then
      host=tcp://127.0.0.1:$port
      echo "export DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=$dir/certs"
    fi
    echo "export DOCKER_HOST=$host"
  } >"$dir/env"
  echo "$host"
}

stop() {
  local dir
  dir=$(cd "$1" && pwd)
  # The first process of the namespace takes all others with it.
  reap "$dir/engine.pid"
  sweep "$dir"
}

sweep() {
  local cgroup
  for cgroup in /sys/fs/cgroup"$(cgroup_of "$1")"* /sys/fs/cgroup/*"$(cgroup_of "$1")"*; do
    [[ ! -d $cgroup ]] || find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
}

case ${1:-} in
  start) start "$2" "$3" ;;
  shared)
    mkdir -p "$3"
    exec 9>"$3/.lock"
    flock 9
    # shellcheck disable=SC1091
    if [[ -e $3/engine.pid ]] && kill -0 "$(cat "$3/engine.pid")" 2>/dev/null; then
      (source "$3/env" && echo "$DOCKER_HOST")
    else
      start "$2" "$3"
    fi
    ;;
  stop) stop "$2" ;;
  sweep) sweep "$2" ;;
  wipe)
    [[ ! -e $2/engine.pid ]] || fail "the engine in $2 still runs"
    rm -rf "${2:?}/data" "$2/exec"
    ;;
  docker)
    release=$(release_of "$2")
    shift 2
    root=''
    [[ -z $release ]] || root=$(root_of "$release")
    # 20.10's leaves a directory behind for each build.
    [[ -z ${REMORA_LIVE_DIR:-} ]] || export TMPDIR=$REMORA_LIVE_DIR
    # The user's own Docker configuration stays out of it.
    if [[ -z ${DOCKER_CONFIG:-} ]]; then
      export DOCKER_CONFIG=$cache/config-${release:-own} DOCKER_BUILDKIT=1
      if [[ ! -e $DOCKER_CONFIG/config.json ]]; then
        mkdir -p "$DOCKER_CONFIG"
        echo "{\"cliPluginsExtraDirs\": [\"$root/usr/libexec/docker/cli-plugins\"]}" >"$DOCKER_CONFIG/config.$$"
        mv "$DOCKER_CONFIG/config.$$" "$DOCKER_CONFIG/config.json"
      fi
    fi
    # Debian's docker and buildx ask for no newer C library than bookworm's, so they run outside of their root.
    exec "$root/usr/bin/docker" "$@"
    ;;
  compose)
    root=$(root_of trixie)
    program=$root/usr/libexec/docker/cli-plugins/docker-compose
    [[ -x $program ]] || add "$root" docker-compose >&2 || fail "no docker compose"
    echo "$program"
    ;;
  roots)
    shift
    [[ $# -gt 0 ]] || set -- 26 28
    for kind; do
      release=$(release_of "$kind")
      [[ -z $release ]] || root_of "$release"
    done
    ;;
  root) root_of "$(release_of "$2")" ;;
  run-inside) run_inside "$2" "$3" ;;
  *)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
