#!/usr/bin/env bash
# A build that prints 500,000 lines: `remora build` with each kind of progress against `docker buildx build
# --progress=plain`, in turns on one private engine 28; and how soon the client has sent its first byte.
#
#   benches/log.sh [plain] [ci] [tty] [rawjson] [start]    all by default; RUNS (5) turns of each, LINES (500000)
#
# plain, ci, rawjson  into a file, as in a job
# tty                 on a pseudo terminal of 120 columns
# start               from the start of the process to the first byte that it sends to the agent
#
# The engine's own limit for a step's output is off: it would leave most of it out.
set -euo pipefail
export BUILDKIT_STEP_LOG_MAX_SIZE=-1 BUILDKIT_STEP_LOG_MAX_SPEED=-1
# shellcheck source=benches/bed.sh
source "$(dirname "${BASH_SOURCE[0]}")/bed.sh"
[[ -n ${REMORA_BENCH_DIR:-} ]] || "$lib/install.sh" bsdutils strace
enter_bed "$@"
[[ $# -gt 0 ]] || set -- plain ci tty rawjson start
runs=${RUNS:-5}
lines=${LINES:-500000}

# buildx without a script in between: engine.sh says where it is.
release=${REMORA_TEST_CACHE:-/var/cache/remora-test}
docker version >/dev/null
export DOCKER_CONFIG=$release/config-sid
docker=$release/sid/usr/bin/docker
unset CI GITLAB_CI GITHUB_ACTIONS BUILDKITE JENKINS_URL CIRCLECI NO_COLOR CLICOLOR_FORCE
start_agent
agent_ready

context=$bed/log
mkdir "$context"
# A line at a time, as compilers and tests write.
# shellcheck disable=SC2016 # the step's own shell reads it
printf 'FROM %s\nARG TURN LINES\nRUN i=0; while [ $i -lt $LINES ]; do i=$((i+1)); echo "line $i of a long output, turn $TURN"; done\n' \
  "$registry/base:1" >"$context/Dockerfile"
common=(--network host --build-arg "LINES=$lines")

theirs() {
  "$docker" buildx build --progress=plain "${common[@]}" --build-arg "TURN=$1" "$context" 2>"$bed/log.theirs" || said theirs
}
# What one that fails said, for whoever runs this.
said() { tail -5 "$bed/log.$1" && false; }
ours() {
  local command=("$client" build --progress="$mode" "${common[@]}" --build-arg "TURN=$1" "$context")
  case $mode in
    tty) script -qec "stty cols 120 rows 40; ${command[*]}" /dev/null >"$bed/log.ours" || said ours ;;
    *) "${command[@]}" 2>"$bed/log.ours" || said ours ;;
  esac
}

# Every line, in order, is in what was printed.
complete() {
  case $mode in
    tty) ;;
    rawjson) grep -o '"data":"[^"]*"' "$bed/log.ours" | cut -d'"' -f4 | while read -r data; do base64 -d <<<"$data"; done | in_order ;;
    *) in_order <"$bed/log.ours" ;;
  esac
}
in_order() {
  grep -o 'line [0-9]* of a long output' |
    awk -v lines="$lines" '$2 != ++n {print "NO: line", $2, "where", n, "was due"; bad = 1; exit 1} END {if (!bad && n != lines) {print "NO:", n, "lines"; exit 1}}'
}

# From the first system call to the first write to the agent's socket, in milliseconds.
first_byte() {
  local n
  for ((n = 0; n < 20; n++)); do
    strace -f -ttt -e trace=execve,connect,sendto,write,writev,sendmsg -o "$bed/trace" \
      "$client" build --progress=none "${common[@]}" "$context" >/dev/null 2>&1
    awk 'NR == 1 {start = $2} /connect\(.*agent\.sock/ {split($0, a, /connect\(/); split(a[2], b, ","); fd = b[1]}
      fd != "" && $0 ~ "(sendto|write|writev|sendmsg)\\(" fd "," {printf "%.3f\n", ($2 - start) * 1000; exit}' "$bed/trace"
  done | median
}

printf '%-8s %6s %11s %11s %7s\n' progress turns buildx remora ratio
for mode; do
  if [[ $mode == start ]]; then
    first_byte | awk '{printf "%-8s %6d %11s %8.1f ms %7s   at most 10 ms: %s\n", "start", 20, "", $1, "", $1 < 10 ? "yes" : "NO"}'
    continue
  fi
  rm -f "$bed/theirs" "$bed/ours"
  for ((turn = 0; turn < runs; turn++)); do
    # Whoever comes second finds the machine busier: they take turns in that too.
    for who in $( ((turn % 2)) && echo ours theirs || echo theirs ours); do
      seconds "$who" "$mode-$turn-$who" >>"$bed/$who"
    done
  done
  a=$(median <"$bed/theirs")
  b=$(median <"$bed/ours")
  awk -v name="$mode" -v runs="$runs" -v a="$a" -v b="$b" 'BEGIN {
    printf "%-8s %6d %9.3f s %9.3f s %7.2f   at most 1.05: %s\n", name, runs, a, b, b / a, b / a <= 1.05 ? "yes" : "NO" }'
  complete || exit 1
done
