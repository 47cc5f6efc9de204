# Sourced by peers.sh: the results as a Markdown table, and where it is put.
# shellcheck shell=bash disable=SC2154

# Notes what ran, once the engine is up.
note_versions() {
  local store='' text
  case $kind in
    none) text=$(command buildah --version | awk '{print "Buildah " $3}') ;;
    *)
      [[ $kind != 28-containerd ]] || store=' with the containerd image store'
      text="Docker $("$docker" version --format '{{.Server.Version}}')$store"
      [[ $kind == 20.10 ]] || text+=", $("$docker" buildx version | awk '{print "buildx " $2}')"
      ;;
  esac
  printf 'version\t%s\n' "${text//, /$'\nversion\t'}" >>"$results"
}

note_call() {
  printf 'command\t%s\n' "$call"
  printf 'version\t%s\n' "$("$client" --version)" "$(docker-registry --version | awk '{print "registry " $3}')" \
    "Linux $(uname -r)" "$(nproc) cores"
}

table() {
  local method names=''
  for method in script inline max buildah remora; do names+="${names:+;}$method=$(name_of "$method")"; done
  awk -v date="$(date +%F)" -v names="$names" -f "$root/benches/peers/table.awk" "$results"
}

# write_into FILE: puts standard input between its two marks.
write_into() {
  cat >"$bed/table"
  awk -v table="$bed/table" '
    /^<!-- \/peers.sh -->/ {inside = 0}
    !inside {print}
    /^<!-- peers.sh -->/ {inside = 1; while ((getline line < table) > 0) print line}' "$1" >"$bed/written"
  cat "$bed/written" >"$1"
}
