# Sourced by the measurements: builds what is measured, and gives it namespaces of its own, with a private engine 28 and a
# registry in them, so that nothing else on this machine is touched or reached. $REMORA_BENCH_BIN names a directory with
# a remora and a remora-agent that are measured instead of what is built here.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lib=$root/tests/lib
# shellcheck source=tests/lib/net.sh
source "$lib/net.sh"
engine_kind=${REMORA_BENCH_ENGINE:-28}
# shellcheck disable=SC2034 # the scripts that source this use it
client=${REMORA_BENCH_BIN:-$root/target/x86_64-unknown-linux-gnu/release}/remora
agent=${REMORA_BENCH_BIN:-$root/target/release}/remora-agent

# Starts the calling script anew inside the namespaces, once everything is built; there, goes on.
enter_namespaces() {
  if [[ -z ${REMORA_BENCH_DIR:-} ]]; then
    [[ $EUID == 0 ]] || { echo "a private Docker engine needs root" >&2; exit 1; }
    "$lib/install.sh" docker.io docker-registry busybox-static debootstrap iproute2 curl openssl
    "$lib/engine.sh" roots 28 >/dev/null
    [[ -n ${REMORA_BENCH_BIN:-} ]] ||
      (cd "$root" && cargo static --quiet && cargo build --quiet --release --bin remora-agent)
    # Not in /tmp, which may be in memory.
    local dir status=0
    dir=$(mktemp -d /var/tmp/remora-bench.XXXXXX)
    "$lib/registry.sh" busybox "$dir/base.tar.gz"
    REMORA_BENCH_DIR=$dir unshare --net --mount --pid --fork --kill-child --mount-proc "$0" "$@" &
    # unshare takes no other signal; with it, everything in the namespaces ends.
    # shellcheck disable=SC2064 # the id as it is now
    trap "kill -KILL $!" INT TERM
    wait $! || status=$?
    rm -rf "$dir" || { sleep 1 && rm -rf "$dir"; }
    "$lib/engine.sh" sweep "$dir"
    exit $status
  fi
  bed=$REMORA_BENCH_DIR
  ip link set lo up
  export REMORA_AGENT=unix://$bed/agent.sock HOME=$bed
}

# The same, with an engine and a registry up.
enter_bed() {
  enter_namespaces "$@"
  "$lib/engine.sh" start "$engine_kind" "$bed/engine" >/dev/null
  # shellcheck disable=SC1091
  source "$bed/engine/env"
  registry=$("$lib/registry.sh" start "$bed/registry")
  "$lib/registry.sh" seed "$registry" base:1 "$bed/base.tar.gz"
}

start_agent() {
  "$agent" --listen "$REMORA_AGENT" --allow-entitlement network.host >>"$bed/agent.log" 2>&1 &
  agent_pid=$!
}

# The agent answers at once, but knows its engine a moment later.
agent_ready() { await 10 "$agent_pid" "$client" info --wait 5s; }

stop_agent() {
  kill "$agent_pid"
  wait "$agent_pid" 2>/dev/null || true
}

docker() { "$lib/engine.sh" docker "$engine_kind" "$@"; }

# The median of numbers, one a line.
median() { sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

# Seconds that a command takes; its output is thrown away, but for that of one that fails.
seconds() {
  local start=$EPOCHREALTIME end
  "$@" >"$bed/out" 2>&1 || { echo "failed: $*" >&2; tail -20 "$bed/out" >&2; exit 1; }
  end=$EPOCHREALTIME
  awk -v a="$start" -v b="$end" 'BEGIN {printf "%.4f\n", b - a}'
}
