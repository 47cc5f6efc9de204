# Sourced: Debian trees made with debootstrap.
# shellcheck shell=bash

# debian_tree RELEASE DIR PACKAGE,PACKAGE...: installs a minimal Debian with these packages into DIR.
debian_tree() {
  local release=$1 dir=$2 packages=$3 mirror debs try
  # The mirror that apt uses on this machine; debootstrap has one of its own where apt names none.
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" {print $2; exit}')
  # One failed download fails debootstrap: another try takes what the last one got.
  debs=$(mktemp -d)
  for try in 1 2 3 4; do
    if debootstrap --variant=minbase --cache-dir="$debs" --include="$packages" "$release" "$dir" \
      ${mirror:+"$mirror"} >"$debs/log" 2>&1; then
      rm -rf "$debs" "$dir"/var/cache/apt/archives/*.deb "$dir"/var/lib/apt/lists/*
      return
    fi
    echo "debootstrap of $release, try $try: $(tail -1 "$debs/log")" >&2
    rm -rf "$dir"
  done
  tail -20 "$debs/log" >&2
  rm -rf "$debs"
  return 1
}
