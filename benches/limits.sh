#!/usr/bin/env bash
# Whether 50m CPU and 32 MiB of memory, what a pod requests for the agent, are enough for one build at a time: the agent
# runs in a control group that has them as its limit, which is the worst that a request can come to. Control groups of
# version 1 or 2, whichever the machine has.
#
#   benches/limits.sh      MEGABYTES=100 of context
set -euo pipefail
# shellcheck source=benches/bed.sh
source "$(dirname "${BASH_SOURCE[0]}")/bed.sh"
enter_bed "$@"
megabytes=${MEGABYTES:-100}
group=remora-limits-$$
root_group=/sys/fs/cgroup
if [[ -e $root_group/cgroup.controllers ]]; then
  version=2 cpu=$root_group/$group memory=$root_group/$group
  mkdir "$cpu"
  echo '+cpu +memory' >"$root_group/cgroup.subtree_control"
  echo '5000 100000' >"$cpu/cpu.max"
  echo $((32 << 20)) >"$memory/memory.max"
else
  version=1 cpu=$root_group/cpu/$group memory=$root_group/memory/$group
  mkdir "$cpu" "$memory"
  echo 100000 >"$cpu/cpu.cfs_period_us"
  echo 5000 >"$cpu/cpu.cfs_quota_us"
  echo $((32 << 20)) >"$memory/memory.limit_in_bytes"
fi
# shellcheck disable=SC2317 # a trap runs it
remove() {
  kill -KILL "$agent_pid" 2>/dev/null || true
  wait "$agent_pid" 2>/dev/null || true
  rmdir "$cpu" "$memory" 2>/dev/null || true
}
trap remove EXIT

mkdir "$bed/context"
head -c $((megabytes * 1000000)) /dev/urandom >"$bed/context/data"
cat >"$bed/context/Dockerfile" <<END
FROM $registry/base:1
RUN sleep 3 && echo installed >/installed
COPY data source* /
RUN sleep 2 && cat /source >/built
END
build() {
  "$client" build --push --network host --allow network.host -t "$registry/app:1" "$bed/context"
}
# The three builds of a project: the first, one of which the source changed, one of which nothing did.
three() {
  local n
  for n in 1 2 2; do
    echo "$1 $n" >"$bed/context/source"
    seconds build
  done | paste -sd ' '
}
row() { printf '%-34s %9s %9s %9s\n' "$@"; }
row 'seconds' 'first' 'changed' 'unchanged'
start_agent
agent_ready
# shellcheck disable=SC2046 # three words
row 'without a limit' $(three a)
stop_agent
"$lib/engine.sh" stop "$bed/engine" && "$lib/engine.sh" wipe "$bed/engine"
"$lib/registry.sh" stop "$bed/registry"
rm -rf "$bed/registry/blobs"
"$lib/registry.sh" start "$bed/registry" >/dev/null
"$lib/registry.sh" seed "$registry" base:1 "$bed/base.tar.gz"
"$lib/engine.sh" start "$engine_kind" "$bed/engine" >/dev/null
# shellcheck disable=SC2016 # the inner shell has them
AGENT=$agent sh -c 'for group; do echo $$ >"$group/cgroup.procs"; done; shift $#; exec "$AGENT" --listen "$REMORA_AGENT" --allow-entitlement network.host' \
  sh "$cpu" "$memory" >>"$bed/agent.log" 2>&1 &
agent_pid=$!
agent_ready
# shellcheck disable=SC2046
row '50m CPU and 32 MiB at most' $(three b)
if [[ $version == 2 ]]; then
  peak=$(cat "$memory/memory.peak" 2>/dev/null || echo 0) killed=$(awk '$1 == "oom_kill" {print $2}' "$memory/memory.events")
else
  peak=$(cat "$memory/memory.max_usage_in_bytes") killed=$(awk '$1 == "oom_kill" {print $2}' "$memory/memory.oom_control")
fi
awk '$1 == "nr_throttled" {n = $2} $1 == "throttled_time" {t = $2 / 1e9} $1 == "throttled_usec" {t = $2 / 1e6}
  END {printf "held back: %d times, %.1f s in all\n", n, t}' "$cpu/cpu.stat"
awk -v peak="$peak" '$1 == "VmHWM:" {rss = $2 / 1024} END {printf "memory: resident at most %.1f MiB; with its cache %.1f of 32 MiB\n", rss, peak / 1048576}' "/proc/$agent_pid/status"
echo "killed for memory: $killed times (control groups of version $version)"
