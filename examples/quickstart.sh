#!/usr/bin/env bash
# The main job on real input, on a Debian machine with cargo and root: builds the Flask application beside this script
# through the agent and pushes it, throws the engine's data away, and builds again on an empty engine: every RUN is cached.
#
# Installs docker.io and docker-registry with apt where they are missing. The engine, the registry and the agent are
# private, listen on this machine alone, and are gone at the end; a Docker that already runs here is left alone.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lib=$root/tests/lib
cache=${XDG_CACHE_HOME:-$HOME/.cache}/remora
cd "$root"
# shellcheck source=tests/lib/debian.sh
source "$lib/debian.sh"

say() { printf '\n==> %s\n' "$*" >&2; }
die() {
  echo "quickstart.sh: $*" >&2
  exit 1
}

[[ $EUID == 0 ]] || die "a private Docker engine needs root; run this with sudo -E"
command -v cargo >/dev/null || die "cargo is missing; install Rust first"
command -v apt-get >/dev/null || die "this script installs what it needs with apt-get, and there is none here"

# A bridge of our own: without one, an engine deletes the bridge of the Docker that may run here. Its address is one
# that no network uses (RFC 5737).
bridge=remora-qs0
ip link show $bridge >/dev/null 2>&1 && die "a device $bridge is there already: another quickstart.sh runs, or one was killed ('ip link del $bridge')"
# Not in /tmp, which may be in memory.
work=$(mktemp -d /var/tmp/remora-quickstart.XXXXXX)
# shellcheck disable=SC2317 # a trap runs it
cleanup() {
  [[ ! -e $work/agent.pid ]] || stop_agent
  "$lib/registry.sh" stop "$work/registry" || true
  "$lib/engine.sh" stop "$work/engine" || true
  ip link del $bridge 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$work/engine" "$work/registry"

say "Installing what is missing"
"$lib/install.sh" docker.io docker-registry debootstrap iproute2 curl
command -v cc >/dev/null || "$lib/install.sh" gcc libc6-dev

say "Building remora and remora-agent"
cargo build --release --bins
bin=${CARGO_TARGET_DIR:-target}/release

start_engine() {
  REMORA_ENGINE_BRIDGE=$bridge "$lib/engine.sh" start own "$work/engine" >/dev/null
}

start_agent() {
  # RUN steps use the network of this machine, as the engine has none of its own: pip wants its index.
  "$bin/remora-agent" --engine "unix://$work/engine/engine.sock" --listen "unix://$work/agent.sock" \
    --allow-entitlement network.host >"$work/agent.log" 2>&1 &
  echo $! >"$work/agent.pid"
}

stop_agent() {
  kill -TERM "$(cat "$work/agent.pid")" 2>/dev/null || true
  wait "$(cat "$work/agent.pid")" 2>/dev/null || true
  rm "$work/agent.pid"
}

# Python in a Debian tree, where python:3-slim cannot be had. With the certificates that this machine trusts, when it
# was told to use others than Debian's: pip inside the build needs them as well.
make_base() {
  local tree bundle=${PIP_CERT:-${REQUESTS_CA_BUNDLE:-${SSL_CERT_FILE:-}}} release key tar
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
  key=$(sha256sum <"${bundle:-/dev/null}" | cut -c1-12)
  tar=$cache/python-$release-$key.tar.gz
  if [[ ! -e $tar ]]; then
    mkdir -p "$cache"
    tree=$work/base
    debian_tree "$release" "$tree" python3,python3-venv,python3-pip,ca-certificates || die "no base image"
    rm -rf "$tree"/usr/share/{doc,man,locale}/*
    if [[ -n $bundle ]]; then
      cp "$bundle" "$tree/etc/ssl/certs/ca-certificates.crt"
      printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$tree/etc/pip.conf"
    fi
    tar -C "$tree" --numeric-owner --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* -c . | gzip -1 >"$tar.$$"
    mv "$tar.$$" "$tar"
    rm -rf "$tree"
  fi
  "$lib/registry.sh" seed "$registry" python:3 "$tar"
}

# Whether the engine gets python:3-slim from the public registry.
public_base() {
  curl -s --max-time 300 --unix-socket "$work/engine/engine.sock" -X POST \
    'http://engine/images/create?fromImage=python&tag=3-slim' >"$work/pull.log" || return 1
  ! grep -q '"error"' "$work/pull.log" && grep -q '"status"' "$work/pull.log"
}

say "Starting a private engine, a registry and the agent"
ip link add $bridge type bridge
ip addr add 203.0.113.1/28 dev $bridge
registry=$("$lib/registry.sh" start "$work/registry")
start_engine
start_agent

base=python:3-slim
if [[ -n ${PIP_CERT:-} ]] || ! public_base; then
  base=$registry/python:3
  say "No public registry in reach (or own certificates in use): the base is not python:3-slim, but Debian's Python, made with debootstrap"
  make_base
fi

# What pip was told on this machine goes along, if anything was.
args=(--build-arg "BASE=$base")
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST; do
  [[ -z ${!name:-} ]] || args+=(--build-arg "$name")
done

# Bytes that the registry has sent so far, and bytes that it holds.
sent() { awk -F'"' '$2 ~ /^GET \/v2\// {split($3, f, " "); n += f[2]} END {printf "%d", n}' "$work/registry/registry.log"; }
held() { du -sb "$work/registry/blobs" | cut -f1; }

# build NAME: builds and pushes; leaves NAME's log, seconds and bytes in files.
build() {
  local name=$1 start before_sent before_held
  before_sent=$(sent) before_held=$(held) start=$(date +%s.%N)
  "$bin/remora" build --agent "unix://$work/agent.sock" --network host --push -t "$registry/flask:1" -t "$registry/flask:latest" \
    "${args[@]}" examples/flask 2>&1 | tee "$work/$name.log" >&2
  echo "$(date +%s.%N) $start $(($(sent) - before_sent)) $(($(held) - before_held))" |
    awk -v name="$name build" '{printf "%-14s %9.1f s %14.1f MB %14.1f MB\n", name, $1 - $2, $3 / 1e6, $4 / 1e6}' >>"$work/table"
}

say "First build, on an empty engine, with nothing in the registry"
build first

say "Throwing the engine and all of its data away; an empty one takes its place"
stop_agent
"$lib/engine.sh" stop "$work/engine"
"$lib/engine.sh" wipe "$work/engine"
start_engine
start_agent

say "Second build: every RUN should be cached"
build second

if grep -E 'RUN .*(DONE|ERROR)|(DONE|ERROR).* RUN ' "$work/second.log" || ! grep -Eq 'RUN .*CACHED|CACHED.* RUN ' "$work/second.log"; then
  die "not every RUN of the second build was cached"
fi

printf '\n%-14s %11s %17s %17s\n' '' time 'from registry' 'to registry'
cat "$work/table"
printf '\nEvery RUN of the second build was cached, on an engine that was born seconds before.\n'
