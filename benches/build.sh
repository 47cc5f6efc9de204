#!/usr/bin/env bash
# `remora build -q` against `docker buildx build -q`, in turns on one private engine 28: the whole process each time.
#
#   benches/build.sh [noop] [files] [large]    all three by default; RUNS (10) turns of each
#
# noop   nothing to do: every step is cached in the engine
# files  a context of 20,000 files, 45 MB, to an engine that has nothing of it
# large  a context of 500 MB in five files, likewise
#
# docker and buildx are Debian sid's own binaries, run directly and not through a chroot.
set -euo pipefail
# shellcheck source=benches/bed.sh
source "$(dirname "${BASH_SOURCE[0]}")/bed.sh"
enter_bed "$@"
[[ $# -gt 0 ]] || set -- noop files large
runs=${RUNS:-10}

# buildx without a script in between: engine.sh says where it is.
release=${REMORA_TEST_CACHE:-/var/cache/remora-test}
docker version >/dev/null
export DOCKER_CONFIG=$release/config-sid
docker=$release/sid/usr/bin/docker
start_agent
agent_ready

theirs() { "$docker" buildx build -q --network host -t "$registry/theirs:$turn" "$1"; }
ours() { "$client" build -q --network host -t "$registry/ours:$turn" "$1"; }

# compare NAME LIMIT RUNS PREPARE CONTEXT
compare() {
  local name=$1 limit=$2 runs=$3 prepare=$4 context=$5 who a b
  rm -f "$bed/theirs" "$bed/ours"
  turn=warm
  theirs "$context" >/dev/null
  ours "$context" >/dev/null
  for ((turn = 0; turn < runs; turn++)); do
    # Whoever comes second finds the disk busier: they take turns in that too.
    for who in $( ((turn % 2)) && echo ours theirs || echo theirs ours); do
      $prepare
      seconds "$who" "$context" >>"$bed/$who"
    done
  done
  a=$(median <"$bed/theirs")
  b=$(median <"$bed/ours")
  awk -v name="$name" -v runs="$runs" -v a="$a" -v b="$b" -v limit="$limit" 'BEGIN {
    printf "%-6s %5d %9.3f s %9.3f s %7.2f   at most %.1f: %s\n", name, runs, a, b, b / a, limit, b / a <= limit ? "yes" : "NO" }'
}

# Makes the engine forget the context, and the images that remora would take cache from, which buildx is not told to do.
# Deleting goes on in the background, and would be in the way.
forget() {
  "$docker" image prune -af >/dev/null
  "$docker" buildx prune -af >/dev/null
  sync
}

printf '%-6s %5s %11s %11s %7s\n' job turns buildx remora ratio
for job; do
  context=$bed/$job
  mkdir "$context"
  case $job in
    noop)
      printf 'FROM %s AS one\nRUN echo one > /one\nFROM %s\nCOPY --from=one /one /\nCOPY file /\nRUN cat /file /one > /two\n' \
        "$registry/base:1" "$registry/base:1" >"$context/Dockerfile"
      echo hello >"$context/file"
      compare noop 0.6 "$runs" true "$context"
      ;;
    files)
      printf 'FROM scratch\nCOPY . /\n' >"$context/Dockerfile"
      head -c 45000000 /dev/urandom | (cd "$context" && split -b 2250 -a 4 - f)
      for letter in {a..z}; do
        mkdir "$context/$letter"
        find "$context" -maxdepth 1 -name "fa$letter*" -exec mv -t "$context/$letter" {} +
        find "$context" -maxdepth 1 -name "fb$letter*" -exec mv -t "$context/$letter" {} +
      done
      compare files 1.0 "$runs" forget "$context"
      ;;
    large)
      printf 'FROM scratch\nCOPY . /\n' >"$context/Dockerfile"
      for n in 1 2 3 4 5; do head -c 100000000 /dev/urandom >"$context/$n"; done
      compare large 1.0 "$runs" forget "$context"
      ;;
    *)
      echo "unknown: $job" >&2
      exit 2
      ;;
  esac
  rm -rf "$context"
done
