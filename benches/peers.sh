#!/usr/bin/env bash
# One CI job by the usual methods and by Remora: what it takes on an empty engine, with the registry behind a link of
# 400 Mbit/s. Private engines, registry and link, in namespaces of their own.
#
#   benches/peers.sh [--engine E,...] [--method M,...] [--case C,...] [--runs N] [--keep DIR] [--results FILE] [--write [FILE]]
#
#   --engine   20.10, 28, 28-containerd, none (Buildah needs none): these by default; 26
#   --method   script, inline, max, buildah, remora; by default all that the engine has (benches/peers/methods.sh)
#   --case     all by default:
#              cold    nothing cached: an empty engine, and a registry with the base image alone
#              same    nothing changed: an empty engine, and the registry as the first build left it; likewise all others
#              source  the source changed
#              deps    the dependencies changed
#              branch  the first build of a new branch on which nothing changed
#              four    the source changed, in a Dockerfile with four stages
#              mute    Remora alone: what a cache repository costs that takes connections and never answers; three turns
#                      with and without it
#   --runs     so many of each; the table has the medians (1)
#   --keep     a directory for what first builds left in the registry, so that a later call need not build it again; and
#              for the logs. The case cold makes it anew: do that when Remora writes its cache in another way
#   --results  a file that measurements are added to; the table has all that are in it
#   --write    replaces the table in docs/peers.md, or FILE
#
# The agent and the client come from this tree, or from $REMORA_BENCH_BIN; $REMORA_BENCH_FLAGS are further flags for
# `remora build`. The engine's start does not count. The table goes to standard output, each measurement to standard error
# as it is made.
set -euo pipefail
# shellcheck source=benches/bed.sh
source "$(dirname "${BASH_SOURCE[0]}")/bed.sh"
# shellcheck source=benches/peers/wan.sh
source "$root/benches/peers/wan.sh"
# shellcheck source=benches/peers/workload.sh
source "$root/benches/peers/workload.sh"
# shellcheck source=benches/peers/methods.sh
source "$root/benches/peers/methods.sh"
# shellcheck source=benches/peers/table.sh
source "$root/benches/peers/table.sh"
engines=20.10,28,28-containerd,none methods='' cases=cold,same,source,deps,branch,four,mute
runs=1 keep='' results='' write=''

usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}

# The call as the table tells it, without where things lie.
call=benches/peers.sh
arguments=("$@")
while [[ $# -gt 0 ]]; do
  case $1 in
    --engine) engines=${2:?} ;;
    --method) methods=${2:?} ;;
    --case) cases=${2:?} ;;
    --runs) runs=${2:?} ;;
    --keep) keep=${2:?} ;;
    --results) results=${2:?} ;;
    --write)
      write=$root/docs/peers.md
      if [[ -n ${2:-} && $2 != --* ]]; then write=$2; else set -- "$1" '' "${@:2}"; fi
      grep -q '^<!-- peers.sh -->' "$write" || { echo "no line '<!-- peers.sh -->' in $write" >&2; exit 2; }
      ;;
    *) usage ;;
  esac
  case $1 in --engine | --method | --case | --runs) call+=" $1 $2" ;; esac
  shift 2
done
for engine in ${engines//,/ }; do methods_of "$engine" >/dev/null; done
for name in ${methods//,/ }; do
  [[ -n $(name_of "$name") ]] || usage
done
for name in ${cases//,/ }; do
  [[ ,cold,same,source,deps,branch,four,mute, == *",$name,"* ]] || usage
done
[[ -n ${REMORA_BENCH_DIR:-} || ,$engines, != *,none,* ]] || "$lib/install.sh" buildah
enter_namespaces "${arguments[@]}"

keep=${keep:-$bed/keep}
mkdir -p "$keep/logs"
keep=$(cd "$keep" && pwd)
exec 9>"$keep/.lock"
flock 9
results=${results:-$bed/results}
note_call >>"$results"
repo=$registry/app
export REMORA_INSECURE_REGISTRY="$registry,$mute" REMORA_ENGINE_INSECURE="$registry $mute" DOCKER_CONFIG=$bed/docker
mkdir "$DOCKER_CONFIG"
sid=${REMORA_TEST_CACHE:-/var/cache/remora-test}/sid
echo "{\"cliPluginsExtraDirs\": [\"$sid/usr/libexec/docker/cli-plugins\"]}" >"$DOCKER_CONFIG/config.json"
remora_help=$("$client" build --help)
agent_pid=''

# empty_engine KIND: throws the last one away.
empty_engine() {
  kind=$1
  [[ -z $agent_pid ]] || stop_agent
  agent_pid=''
  if [[ -e $bed/engine/engine.pid ]]; then
    "$lib/engine.sh" stop "$bed/engine"
    # The processes of its namespace end a moment later.
    "$lib/engine.sh" wipe "$bed/engine" 2>/dev/null || { sleep 1 && "$lib/engine.sh" wipe "$bed/engine"; }
  fi
  if [[ $kind == none ]]; then
    umount -R "$bed/buildah/overlay" 2>/dev/null || true
    rm -rf "$bed/buildah" "$bed/buildah-run"
    return
  fi
  docker=$sid/usr/bin/docker
  if [[ $kind == 20.10 ]]; then docker=/usr/bin/docker && export DOCKER_BUILDKIT=1; fi
  "$lib/engine.sh" start "$kind" "$bed/engine" >/dev/null
  # shellcheck disable=SC1091
  source "$bed/engine/env"
  if [[ $method == remora ]]; then
    rm -f "$bed/agent.log"
    start_agent
    agent_ready
  fi
}

# describe CASE: what it starts from ($state), what is built, and where it is pushed.
describe() {
  state=two scope=main from=main tags='2 main' stages=builder run_case=$1
  case $1 in
    cold) context=two state=base tags='1 main' ;;
    four-cold) context=four state=base tags='1 main' stages='deps tools builder' ;;
    same) context=two ;;
    source | deps) context=$1 ;;
    branch) context=two scope=feature tags='feature-1 feature' ;;
    four) context=four-source state=four stages='deps tools builder' ;;
    mute-*) context=short state=base tags='1 main' ;;
  esac
  context=$keep/contexts/$context
  states=$keep/states/$engine-$method
  if [[ $state == base ]]; then state=$keep/states/base; else state=$states/$state; fi
}

# measure CASE: a line of results in $bed/line, and the method's $status; the case's state must exist. Not to be called
# where bash ignores `set -e`, for the methods rely on it.
measure() {
  local log=$keep/logs/$engine-$method-$1.log before after start end digest=other
  describe "$1"
  registry_with "$state"
  empty_engine "$engine"
  : >"$bed/asked"
  sync
  before=$(traffic)
  start=$EPOCHREALTIME
  set +e
  (set -e; "by_$method") >"$log" 2>&1
  status=$?
  set -e
  end=$EPOCHREALTIME
  after=$(traffic)
  [[ -z $agent_pid ]] || cp "$bed/agent.log" "${log%.log}.agent.log"
  for tag in $tags; do
    [[ $status != 0 || -n $(digest_of "app:$tag") ]] || { status=1 && echo "$repo:$tag was not pushed" >>"$log"; }
  done
  # Without this, a Remora that leaves the cache alone would pass.
  [[ $1-$status != mute-on-0 || -s $bed/asked ]] || { status=1 && echo "$mute was not asked for cache" >>"$log"; }
  [[ -z $(digest_of app:1) || $(digest_of app:1) != "$(digest_of "app:${tags% *}")" ]] || digest=same
  echo "$engine $method $1 $start $end $before $after $status $digest" | awk -v OFS='\t' '
    {print $1, $2, $3, sprintf("%.3f", $5 - $4), $8 - $6, $9 - $7, $10, $11}' >"$bed/line"
  awk '{printf "%-13s %-8s %-9s %8.2f s %8.2f MB from and %7.2f MB to the registry%s\n", $1, $2, $3, $4, $5 / 1e6, $6 / 1e6,
    $7 ? "   FAILED" : ""}' "$bed/line" >&2
  [[ $status == 0 ]] || tail -5 "$log" >&2
  case $1-$status in
    cold-0)
      put_aside "$states/two"
      # Of the same Remora, or none.
      rm -rf "$states/four"
      ;;
    four-cold-0) put_aside "$states/four" ;;
  esac
}

# What is already there with --keep.
prepare() {
  start_wan
  mkdir -p "$keep/states"
  make_contexts
  [[ ! -d $keep/states/base ]] || return 0
  registry_with nothing
  make_base "$bed/peers-base.tar.gz"
  beyond "$lib/registry.sh" seed "$registry" base:1 "$bed/peers-base.tar.gz"
  put_aside "$keep/states/base"
}

# One case of one method, with what must come before it.
run_case() {
  local name=$1 names=$1 first=''
  case $name in
    same | source | deps | branch) first=cold && [[ ! -d $keep/states/$engine-$method/two ]] || first='' ;;
    four) first=four-cold && [[ ! -d $keep/states/$engine-$method/four ]] || first='' ;;
    mute)
      [[ $method == remora ]] || return 0
      remora_can cache-repo || { echo "$engine mute: this remora has no --cache-repo" >&2 && return 0; }
      # What is wanted is a difference of two: in turns, and the medians' one.
      names='mute-off mute-on mute-off mute-on mute-off mute-on'
      ;;
  esac
  if [[ -n $first ]]; then
    measure "$first"
    [[ $status == 0 ]] || return 0
  fi
  for name in $names; do
    mute_flags=(--cache off)
    [[ $name != mute-on ]] || mute_flags=(--cache-scope main --cache-repo "$mute/cache")
    measure "$name"
    cat "$bed/line" >>"$results"
  done
}

prepare
for engine in ${engines//,/ }; do
  noted=''
  for method in $(methods_of "$engine"); do
    [[ -z $methods || ,$methods, == *",$method,"* ]] || continue
    for name in ${cases//,/ }; do
      for ((run = 0; run < runs; run++)); do run_case "$name"; done
    done
    [[ -n $noted ]] || note_versions
    noted=yes
  done
done
table
[[ -z $write ]] || table | write_into "$write"
