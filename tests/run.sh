#!/usr/bin/env bash
# Runs all tests, those on real engines included, and installs what they need (Debian, root).
#
#   tests/run.sh [FILTER...]      only the tests whose names contain one of these
#   REMORA_SKIP_LIVE=1            leaves out what needs root and real engines, and says so
#
# The live tests run in namespaces of their own for network, mounts and processes: engines, registries and agents reach
# nothing outside of them, and end with them. The last line is 'N passed, N failed'.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lib=$root/tests/lib
cd "$root"

die() {
  echo "tests/run.sh: $*" >&2
  exit 1
}

# The second half, inside the namespaces. No network: everything was built before.
if [[ ${1:-} == --inside ]]; then
  shift
  ip link set lo up
  # A name with two addresses, for a pool.
  { cat /etc/hosts && printf '127.0.0.1 pool.test\n127.0.0.2 pool.test\n'; } >"$REMORA_LIVE_DIR/hosts"
  mount --bind "$REMORA_LIVE_DIR/hosts" /etc/hosts
  # This shell stays: as the first process here it reaps what engines leave behind, which a runner of tests does not.
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --offline --run-ignored all --no-tests pass "$@"
  else
    cargo test --offline --lib --bins --tests --no-fail-fast -- --include-ignored "$@"
  fi
  exit
fi

live=''
log=$(mktemp)
# shellcheck disable=SC2317 # a trap runs it
cleanup() {
  rm -f "$log"
  [[ -n $live ]] || return 0
  rm -rf "$live"
  "$lib/engine.sh" sweep "$live"
}
trap cleanup EXIT

# Sums up what the runners said of themselves.
closing_line() {
  awk '
    { gsub(/\033\[[0-9;]*m/, "") }
    /tests? run:/ || /^test result:/ {
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) passed += $(i - 1)
        if ($i ~ /^failed/ || ($i ~ /^timed/ && $(i + 1) ~ /^out/)) failed += $(i - 1)
      }
    }
    END { printf "%d passed, %d failed\n", passed, failed }' "$log"
}

# Both programs as they are in images, without the optimisations, which take long.
static_programs() {
  local target
  target=$(rustc -vV | sed -n 's/^host: //p')
  cargo build --quiet --locked --bins --target "$target" --config "target.$target.rustflags=['-Ctarget-feature=+crt-static']"
  export REMORA_STATIC_PROGRAMS=${CARGO_TARGET_DIR:-$root/target}/$target/debug
}

run() { "$@" 2>&1 | tee -a "$log"; }

command -v cc >/dev/null || "$lib/install.sh" gcc libc6-dev
status=0
if [[ ${REMORA_SKIP_LIVE:-} == 1 ]]; then
  run cargo test --lib --bins --tests --no-fail-fast -- "$@" || status=1
else
  [[ $EUID == 0 ]] || die "the tests on real engines need root; REMORA_SKIP_LIVE=1 leaves them out"
  unshare --net --mount --pid --fork --kill-child --mount-proc true 2>/dev/null ||
    die "this machine lets no new namespaces be made, which the tests on real engines need; REMORA_SKIP_LIVE=1 leaves them out"
  "$lib/install.sh" docker.io docker-registry busybox-static debootstrap iproute2 openssl curl attr bzip2 xz-utils mandoc git openssh-client openssh-server rsync systemd jq groovy python3-yaml
  "$lib/engine.sh" roots >/dev/null
  "$lib/gitlab.sh" >/dev/null
  "$lib/kubernetes.sh" tools
  live=$(mktemp -d "${TMPDIR:-/tmp}/remora-live.XXXXXX")
  "$lib/registry.sh" busybox "$live/base.tar.gz"
  # What takes long on a new machine is left out where no test with such a name is wanted.
  if [[ $# == 0 || $* == *kubernetes* ]]; then
    "$lib/install.sh" etcd-server dnsmasq-base conntrack iptables jq procps
    "$lib/kubernetes.sh" build
    static_programs
  fi
  cargo test --no-run --quiet
  run env REMORA_LIVE_DIR="$live" unshare --net --mount --pid --fork --kill-child --mount-proc \
    "$root/tests/run.sh" --inside "$@" || status=1
fi
run cargo test --doc --offline --quiet || status=1

if [[ ${REMORA_SKIP_LIVE:-} == 1 ]]; then
  printf '\n*** SKIPPED: every test on a real engine (REMORA_SKIP_LIVE=1). The main job was not tried.\n\n'
fi
closing_line
exit $status
