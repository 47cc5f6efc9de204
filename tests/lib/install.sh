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
# Debian starts the servers that it installs. Here they are started privately, where they are wanted.
policy=/usr/sbin/policy-rc.d
if [[ -e $policy ]]; then
  trap 'rm -f "$log"' EXIT
else
  trap 'rm -f "$log" "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
install() { apt-get install -y --no-install-recommends "${missing[@]}" </dev/null >"$log" 2>&1; }
# The package lists may be absent or old.
install || { apt-get update >/dev/null 2>&1 && install; } || {
  tail -20 "$log" >&2
  exit 1
}
