#!/usr/bin/env bash
# gitlab-ci-local, which runs a .gitlab-ci.yml on this machine: prints the path of the program, and installs it, with Node,
# where it is missing. It lies below $REMORA_TEST_CACHE (/var/cache/remora-test).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The last ones want a newer Node than Debian's; this one runs on 18 and on 20.
version=4.63.0
dir=${REMORA_TEST_CACHE:-/var/cache/remora-test}/gitlab-ci-local-$version
program=$dir/node_modules/.bin/gitlab-ci-local
if [[ ! -x $program ]]; then
  command -v rsync >/dev/null || "$here/install.sh" rsync
  # Some packages of Node hold npm, and go with no other.
  command -v npm >/dev/null || "$here/install.sh" nodejs npm
  mkdir -p "$dir"
  exec 9>"$dir.lock"
  flock 9
  [[ -x $program ]] || npm install --prefix "$dir" --no-audit --no-fund --silent "gitlab-ci-local@$version" >&2
fi
echo "$program"
