#!/usr/bin/env bash
# How soon the agent is ready, how much memory it takes, and how large the client is.
set -euo pipefail
# shellcheck source=benches/bed.sh
source "$(dirname "${BASH_SOURCE[0]}")/bed.sh"
enter_bed "$@"
builds=${BUILDS:-8}
megabytes=${MEGABYTES:-500}

row() { printf '%-58s %9.1f %-3s at most %4d: %s\n' "$1" "$2" "$3" "$4" "$(awk -v a="$2" -v b="$4" 'BEGIN {print a <= b ? "yes" : "NO"}')"; }
# VmRSS, VmHWM (the peak) of a process, in MB.
memory() { awk -v field="$2:" '$1 == field {print $2 * 1024 / 1e6}' "/proc/$1/status"; }

for _ in 1 2 3 4 5 6 7 8 9 10; do
  rm -f "${REMORA_AGENT#unix://}"
  start=$EPOCHREALTIME
  start_agent
  # It counts as ready when it answers with the engine's version; asking takes a few milliseconds itself.
  until "$client" info --wait 0s 2>/dev/null | grep -q 28; do :; done
  awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {print (b - a) * 1000}'
  stop_agent
done >"$bed/ready"
row "ready after start, median of ten" "$(median <"$bed/ready")" ms 50

# The client is there at once, and waits for the socket. Of a build that the engine has taken steps are shown.
mkdir "$bed/c0"
printf 'FROM scratch\nCOPY Dockerfile /\n' >"$bed/c0/Dockerfile"
for _ in 1 2 3 4 5 6 7 8 9 10; do
  rm -f "${REMORA_AGENT#unix://}"
  start=$EPOCHREALTIME
  start_agent
  "$client" build --progress plain "$bed/c0" 2>&1 | {
    while read -r line && [[ $line != '#1 '* ]]; do :; done
    awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {print (b - a) * 1000}'
    cat >/dev/null
  }
  stop_agent
done >"$bed/accepted"
row "first build accepted after start, engine up, median of ten" "$(median <"$bed/accepted")" ms 200

start_agent
agent_ready
sleep 1
row "idle, resident" "$(memory "$agent_pid" VmRSS)" MB 20

# Hard links to the same files: contexts of their own for the engine, but not for the disk.
mkdir "$bed/c1"
printf 'FROM scratch\nCOPY . /\n' >"$bed/c1/Dockerfile"
for n in 1 2 3 4 5; do head -c $((megabytes * 200000)) /dev/urandom >"$bed/c1/$n"; done
clients=()
for ((n = 1; n <= builds; n++)); do
  [[ $n == 1 ]] || cp -al "$bed/c1" "$bed/c$n"
  "$client" build -q -t "$registry/app$n:1" "$bed/c$n" >"$bed/out$n" 2>&1 &
  clients+=($!)
done
peak=0
while kill -0 "${clients[@]}" 2>/dev/null; do
  for pid in "${clients[@]}"; do
    peak=$(echo "$peak $(memory "$pid" VmHWM 2>/dev/null || true)" | awk '{print ($2 > $1) ? $2 : $1}')
  done
  sleep 0.2
done
for n in "${!clients[@]}"; do
  wait "${clients[$n]}" || { cat "$bed/out$((n + 1))"; exit 1; }
done
row "peak, $builds builds at once with $megabytes MB of context each" "$(memory "$agent_pid" VmHWM)" MB 60
printf '%-58s %9.1f MB\n' "the largest of their clients" "$peak"

row "size of the client" "$(stat -c '%s' "$client" | awk '{print $1 / 1e6}')" MB 8
# An empty root has no loader and no library.
mkdir "$bed/empty"
cp "$client" "$bed/empty/remora"
chroot "$bed/empty" /remora --version >/dev/null && echo "the client runs in an empty root: yes"
