# Sourced by peers.sh: how a pipeline step builds and pushes $repo with $tags from $context by each method. The cache of
# branch $from is read, that of $scope written; $stages are those before the last one.
# shellcheck shell=bash disable=SC2154

# The methods that an engine has.
methods_of() {
  case $1 in
    20.10 | 26 | 28) echo script inline remora ;;
    28-containerd) echo inline max remora ;;
    none) echo buildah ;;
    *) echo "unknown engine: $1" >&2 && return 2 ;;
  esac
}

name_of() {
  case $1 in
    script) echo "pull, build and push each stage" ;;
    inline) echo "docker build, inline cache, one image" ;;
    max) echo "docker buildx, registry cache, mode max" ;;
    buildah) echo "Buildah, --layers --cache-from --cache-to" ;;
    remora) echo "**Remora**" ;;
  esac
}

tag_flags() { for tag in $tags; do flags+=(-t "$repo:$tag"); done; }
push_tags() { for tag in $tags; do "$docker" push -q "$repo:$tag"; done; }

by_script() {
  local stage flags cache=(--cache-from "$repo:$from")
  "$docker" pull -q "$repo:$from" || true
  for stage in $stages; do
    "$docker" pull -q "$repo:$from-$stage" || true
    cache+=(--cache-from "$repo:$from-$stage")
  done
  for stage in $stages; do
    "$docker" build --network host --build-arg BUILDKIT_INLINE_CACHE=1 "${cache[@]}" --target "$stage" \
      -t "$repo:$scope-$stage" "$context"
  done
  flags=()
  tag_flags
  "$docker" build --network host --build-arg BUILDKIT_INLINE_CACHE=1 "${cache[@]}" "${flags[@]}" "$context"
  for stage in $stages; do "$docker" push -q "$repo:$scope-$stage"; done
  push_tags
}

by_inline() {
  local flags=(--network host --build-arg BUILDKIT_INLINE_CACHE=1 --cache-from "$repo:$from")
  tag_flags
  if [[ $kind == 20.10 ]]; then
    "$docker" build "${flags[@]}" "$context"
    push_tags
  else
    "$docker" buildx build --push "${flags[@]}" "$context"
  fi
}

by_max() {
  local flags=(--network host --cache-from "type=registry,ref=$repo:cache-$from"
    --cache-to "type=registry,ref=$repo:cache-$scope,mode=max")
  tag_flags
  "$docker" buildx build --push "${flags[@]}" "$context"
}

buildah() { command buildah --root "$bed/buildah" --runroot "$bed/buildah-run" --storage-driver overlay "$@"; }

by_buildah() {
  local flags=(--layers --isolation chroot --tls-verify=false --cache-from "${repo%/*}/cache" --cache-to "${repo%/*}/cache")
  tag_flags
  buildah build "${flags[@]}" "$context"
  for tag in $tags; do buildah push -q --tls-verify=false "$repo:$tag"; done
}

# What this remora can be told; older ones cannot.
remora_can() { [[ $remora_help == *" --$1 "* ]]; }

by_remora() {
  local flags=(--network host) limit=''
  tag_flags
  if [[ $run_case == mute-* ]]; then
    # Engines themselves wait for minutes.
    limit='timeout 60'
    flags+=("${mute_flags[@]}")
  elif remora_can cache-scope; then
    flags+=(--cache-scope "$scope")
    [[ $scope == "$from" ]] || flags+=(--cache-fallback "$from")
  else
    flags+=(--cache-from "$repo:$from")
  fi
  # shellcheck disable=SC2086 # several flags in one variable
  $limit "$client" build --push "${flags[@]}" ${REMORA_BENCH_FLAGS:-} "$context"
}
