#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing: install.sh PACKAGE...
set -euo pipefail
missing=()
for package; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0
echo "install.sh: apt-get install ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { apt-get install -y --no-install-recommends "${missing[@]}" </dev/null >"$log" 2>&1; }
# The package lists may be absent or old.
install || { apt-get update >/dev/null 2>&1 && install; } || {
  tail -20 "$log" >&2
  exit 1
}
