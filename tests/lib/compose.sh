#!/usr/bin/env bash
# examples/compose.yaml as its reader runs it, on a private engine: twice, the second time with an empty engine within. What
# Docker Hub would give is made of a Debian tree.
#
#   compose.sh DIR PROGRAMS CONTEXT    DIR is thrown away afterwards; PROGRAMS holds remora and remora-agent
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=$1 programs=$2
export CONTEXT=$3 DOCKER_CONFIG=$dir/config
cache=${REMORA_TEST_CACHE:-/var/cache/remora-test}
mkdir -p "$DOCKER_CONFIG/cli-plugins" "$dir/image"
ln -s "$("$here/engine.sh" compose)" "$DOCKER_CONFIG/cli-plugins/docker-compose"

ip link add remora-compose type bridge
ip addr add 192.0.2.1/24 dev remora-compose
ip link set remora-compose up
DOCKER_HOST=$(REMORA_ENGINE_BRIDGE=remora-compose REMORA_ENGINE_RUNTIME=$here/runc.sh "$here/engine.sh" start own "$dir/engine")
export DOCKER_HOST
trap '"$here/engine.sh" stop "$dir/engine"; ip link del remora-compose' EXIT
docker() { DOCKER_BUILDKIT=1 "$here/engine.sh" docker own "$@"; }
# The newest docker knows compose as a plugin; all know it by its path.
compose() { "$DOCKER_CONFIG/cli-plugins/docker-compose" -f "$root/examples/compose.yaml" "$@"; }

tree() { tar -C "$cache/trixie" --exclude ./proc --exclude ./sys --exclude ./dev --exclude ./usr/share/doc --exclude ./usr/share/locale -c .; }
tree | docker import - docker:28-dind >/dev/null
cp "$programs/remora" "$programs/remora-agent" "$(command -v docker-registry)" "$dir/image"
docker build -q --build-arg BASE=docker:28-dind --build-arg PROGRAMS=prebuilt -t remora-agent \
  -f "$root/deploy/docker/Dockerfile" "$dir/image" >/dev/null
# The client of a debug build wants a C library, which a busybox has not.
docker tag docker:28-dind busybox:stable
cat >"$dir/image/config.yml" <<X
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: ":5000"}
X
docker build -q -t registry:2 -f - "$dir/image" >/dev/null <<'X'
FROM docker:28-dind
COPY docker-registry config.yml /
ENTRYPOINT ["/docker-registry", "serve", "/config.yml"]
X

compose run --rm build 2>&1
echo "== the step sees"
compose run --rm build sh -c 'ls -d /run/* /run/remora/*' 2>/dev/null
echo "== the engine listens on"
# Of all but the resolver that Docker puts into every container: local address and state, 0A where it listens.
compose exec -T engine cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A" && $2 !~ /^0B00007F:/ {print "port", $2}'
echo "== the agent may"
compose exec -T agent grep CapEff /proc/1/status
echo "== again"
compose rm -fs agent engine prepare >/dev/null 2>&1
docker volume rm remora_engine-data >/dev/null
compose run --rm build 2>&1
compose down -v >/dev/null 2>&1
