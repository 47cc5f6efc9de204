#!/usr/bin/env bash
# A pool of four agents, each with an engine of its own, under 64 builds of 16 projects at once, while one agent is killed
# and one is told to go. Prints how many builds failed, how many met a warm engine, and how many projects move when a pool
# grows from three to four.
#
#   benches/pool.sh        BUILDS=4 of each of PROJECTS=16; PLACES=2 builds at once in an agent
#
# Nothing is pushed, so that no registry cache makes a cold engine look warm: a build met a warm one if its agent's engine
# took the project's slow step from its cache.
set -euo pipefail
# shellcheck source=benches/bed.sh
source "$(dirname "${BASH_SOURCE[0]}")/bed.sh"
enter_namespaces "$@"
builds=${BUILDS:-4} projects=${PROJECTS:-16} places=${PLACES:-2}
registry=$("$lib/registry.sh" start "$bed/registry")
"$lib/registry.sh" seed "$registry" base:1 "$bed/base.tar.gz"
export REMORA_TOKEN=pool
declare -A pids
names=(remora-0 remora-1 remora-2 remora-3)
address() { echo "tcp://127.0.0.1:$((7733 + ${1#remora-}))"; }
pool() {
  local list=''
  for name; do list+="${list:+,}$(address "$name")"; done
  echo "$list"
}
start() {
  DOCKER_HOST=unix://$bed/$1/engine.sock "$agent" --name "$1" --listen "$(address "$1")" --max-builds "$places" --max-queue 32 \
    --allow-entitlement network.host >>"$bed/$1.log" 2>&1 &
  pids[$1]=$!
}
for name in "${names[@]}"; do
  "$lib/engine.sh" start "$engine_kind" "$bed/$name" >/dev/null
  start "$name"
  await 20 "${pids[$name]}" "$client" --agent "$(address "$name")" info --wait 10s
done

# One build: of a project, with a source of its own.
build() {
  local project=$1 number=$2 dir=$bed/context-$1-$2
  mkdir -p "$dir"
  echo "$project" >"$dir/dependencies"
  echo "$project $number" >"$dir/source"
  cat >"$dir/Dockerfile" <<END
FROM $registry/base:1
COPY dependencies /
RUN sleep 1 && echo $project >/installed
COPY source /
RUN sleep 0.3 && cat /source
END
  "$client" --agent "$(pool "${names[@]}")" --wait 120s build --progress plain --network host --allow network.host \
    -t "$project:$number" "$dir" >"$bed/$project-$number.out" 2>&1 || touch "$bed/$project-$number.failed"
  touch "$bed/$project-$number.done"
}
count() { find "$bed" -maxdepth 1 -name "$1" | wc -l; }
# Who built it in the end.
built_by() { sed -n 's/^remora: agent \([^:]*\):.*/\1/p' "$1" | tail -1; }

for ((p = 1; p <= projects; p++)); do build "app$p" 0; done
[[ $(count '*-0.failed') == 0 ]] || { cat "$bed"/*-0.out; exit 1; }
for name in "${names[@]}"; do
  homes=0
  for out in "$bed"/app*-0.out; do [[ $(built_by "$out") != "$name" ]] || homes=$((homes + 1)); done
  printf '%-58s %4d\n' "projects at home in $name" "$homes"
done
rm -f "$bed"/*.done

total=$((builds * projects))
start=$EPOCHREALTIME
for ((b = 1; b <= builds; b++)); do
  for ((p = 1; p <= projects; p++)); do build "app$p" "$b" & done
done
until [[ $(count '*.done') -ge $((total / 5)) ]]; do sleep 0.05; done
{ kill -KILL "${pids[remora-1]}"; wait "${pids[remora-1]}" || true; } 2>/dev/null
until [[ $(count '*.done') -ge $((total * 2 / 5)) ]]; do sleep 0.05; done
kill -TERM "${pids[remora-2]}"
until [[ $(count '*.done') -ge $total ]]; do sleep 0.05; done
took=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f", b - a}')

warm=0 moved=0 waited=0
for ((p = 1; p <= projects; p++)); do
  for ((b = 1; b <= builds; b++)); do
    out=$bed/app$p-$b.out
    ! grep -Eq 'CACHED .*RUN sleep 1 ' "$out" || warm=$((warm + 1))
    ! grep -q 'another agent is asked' "$out" || moved=$((moved + 1))
    ! grep -q 'waiting: ' "$out" || waited=$((waited + 1))
  done
done
row() { printf '%-58s %6s  %s\n' "$@"; }
row "builds at once" "$total" "in $took s"
row "failed, one agent killed and one drained" "$(count 'app*-[1-9]*.failed')" "must be 0"
row "met a warm engine" "$((warm * 100 / total)) %" "$warm of $total; must be 80 % or more"
row "went to another agent on their way" "$moved" ""
row "waited in a queue" "$waited" ""
for name in "${names[@]}"; do
  n=0
  for out in "$bed"/app*-[1-9]*.out; do [[ $(built_by "$out") != "$name" ]] || n=$((n + 1)); done
  printf '%-58s %6d\n' "built by $name" "$n"
done
for failed in "$bed"/app*-[1-9]*.failed; do
  [[ ! -e $failed ]] || { echo "--- $failed"; cat "${failed%.failed}.out"; }
done

# Homes of many projects, before and after the pool grows.
for name in remora-1 remora-2; do
  wait "${pids[$name]}" 2>/dev/null || true
  start "$name"
  await 20 "${pids[$name]}" "$client" --agent "$(address "$name")" info --wait 10s
done
home() { "$client" --agent "$1" plan -t "$2" "$bed/context-app1-0" 2>&1 >/dev/null | sed -n 's/^remora: agent \([^:]*\): home.*/\1/p'; }
changed=0 many=200
for ((n = 1; n <= many; n++)); do
  before=$(home "$(pool remora-0 remora-1 remora-2)" "team/service$n")
  after=$(home "$(pool "${names[@]}")" "team/service$n")
  [[ -n $before && -n $after ]] || { echo "no home for service$n"; exit 1; }
  [[ $before == "$after" ]] || changed=$((changed + 1))
done
row "projects of $many that move when three become four" "$changed" "must be about a quarter: $((many / 4))"
