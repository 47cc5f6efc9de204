#!/usr/bin/env bash
# Private registries, on loopback unless told otherwise, and base images put into them without an engine.
#
#   registry.sh start DIR [auth]        starts one, prints its HOST:PORT; with `auth` it wants user remora, password s3cret
#   registry.sh start DIR token REALM CERTS
#                                       the same, but it wants tokens of the service at REALM, signed below CERTS
#   registry.sh stop DIR
#   registry.sh seed HOST REPO:TAG TAR [USER:PASSWORD]
#                                       pushes a file tree (a gzip'ed tar) as an image of one layer
#   registry.sh busybox TAR             makes such a tar from busybox-static
#
# $REMORA_REGISTRY_ADDRESS (IP:PORT) puts one elsewhere.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/net.sh
source "$here/net.sh"

# docker-registry's log is wanted in DIR/registry.log and the data in DIR/blobs; both go with DIR.
start() {
  local dir=$1 auth=${2:-} port address
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  # A registry that is started again keeps its address.
  port=$(cat "$dir/port" 2>/dev/null || free_port)
  echo "$port" >"$dir/port"
  address=${REMORA_REGISTRY_ADDRESS:-127.0.0.1:$port}
  {
    echo "version: 0.1"
    echo "log: {level: info, accesslog: {disabled: false}}"
    echo "storage: {filesystem: {rootdirectory: $dir/blobs}, delete: {enabled: true}}"
    echo "http: {addr: '$address'}"
    if [[ $auth == token ]]; then
      echo "auth: {token: {realm: '$3', service: registry.test, issuer: tokens.test, rootcertbundle: '$4'}}"
    elif [[ -n $auth ]]; then
      # bcrypt of s3cret, so that no tool is needed to make it.
      # shellcheck disable=SC2016
      echo 'remora:$2y$05$xR1e2B9/Dc/zSog.9u9aC.9iyj4Gjhu0k0SGdBTu5uS/hEqC.tLiy' >"$dir/htpasswd"
      echo "auth: {htpasswd: {realm: remora, path: $dir/htpasswd}}"
    fi
  } >"$dir/config.yml"
  docker-registry serve "$dir/config.yml" </dev/null >>"$dir/registry.log" 2>&1 &
  echo $! >"$dir/registry.pid"
  # Any answer will do: with `auth` it is a 401.
  await 20 $! curl -s "http://$address/v2/" || {
    tail -5 "$dir/registry.log" >&2
    reap "$dir/registry.pid"
    echo "registry.sh: the registry did not start: $dir/registry.log" >&2
    exit 1
  }
  echo "$address"
}

# curl, with credentials where there are some.
request() { curl ${user:+-u "$user"} "$@"; }

# Uploads one blob and prints its digest.
put_blob() {
  local url=$1 file=$2 digest location
  digest=sha256:$(sha256sum "$file" | cut -d' ' -f1)
  location=$(request -fsS -X POST -D - -o /dev/null "$url/blobs/uploads/" | tr -d '\r' | awk 'tolower($1) == "location:" {print $2}')
  [[ $location == *\?* ]] && location+="&digest=$digest" || location+="?digest=$digest"
  request -fsS -X PUT -H 'Content-Type: application/octet-stream' --upload-file "$file" "$location" >/dev/null
  echo "$digest"
}

seed() {
  local host=$1 repo=${2%:*} tag=${2##*:} tar=$3 url diff config arch
  user=${4:-}
  url=http://$host/v2/$repo
  arch=$(dpkg --print-architecture)
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  diff=sha256:$(gzip -dc "$tar" | sha256sum | cut -d' ' -f1)
  printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"],"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created":"2024-01-01T00:00:00Z"}],"created":"2024-01-01T00:00:00Z"}' \
    "$arch" "$diff" >"$work/config"
  local type=application/vnd.docker
  config=$(put_blob "$url" "$work/config")
  printf '{"schemaVersion":2,"mediaType":"%s.distribution.manifest.v2+json","config":{"mediaType":"%s.container.image.v1+json","size":%d,"digest":"%s"},"layers":[{"mediaType":"%s.image.rootfs.diff.tar.gzip","size":%d,"digest":"%s"}]}' \
    $type $type "$(stat -c %s "$work/config")" "$config" $type "$(stat -c %s "$tar")" "$(put_blob "$url" "$tar")" >"$work/manifest"
  request -fsS -X PUT -H "Content-Type: $type.distribution.manifest.v2+json" --data-binary "@$work/manifest" "$url/manifests/$tag"
}

busybox_tree() {
  local tar=$1 applet
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  chmod 755 "$work"
  mkdir -p "$work"/{bin,etc,tmp,root,proc,sys,dev,usr/bin,sbin}
  cp "$(command -v busybox)" "$work/bin/busybox"
  for applet in $("$work/bin/busybox" --list); do
    [[ -e $work/bin/$applet ]] || ln -s busybox "$work/bin/$applet"
  done
  ln -s ../../bin/env "$work/usr/bin/env"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$work/etc/passwd"
  echo 'root:x:0:' >"$work/etc/group"
  chmod 1777 "$work/tmp"
  # The same tree gives the same bytes.
  tar -C "$work" --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner -c . | gzip -n >"$tar"
}

case ${1:-} in
  start) start "${@:2}" ;;
  stop) reap "$2/registry.pid" ;;
  seed) seed "${@:2}" ;;
  busybox) busybox_tree "$2" ;;
  *)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
