# Sourced by the scripts here: what both engine.sh and registry.sh need of loopback.
# shellcheck shell=bash

# A TCP port on loopback that nothing listens on, below the range the kernel hands out by itself.
free_port() {
  local port
  while :; do
    port=$((15000 + RANDOM % 15000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

# Waits until a command succeeds, as long as the process PID lives, and at most SECONDS: await SECONDS PID COMMAND...
await() {
  local deadline=$((SECONDS + $1)) pid=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || return 1
    ((SECONDS < deadline)) || return 1
    sleep 0.03
  done
}

# Kills the process whose id is in FILE, if it still runs, and waits until it is gone.
reap() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  kill -KILL "$pid" 2>/dev/null || true
  # A zombie of another parent counts as gone.
  while [[ -e /proc/$pid/stat ]] && [[ $(awk '{print $3}' "/proc/$pid/stat" 2>/dev/null || echo Z) != Z ]]; do sleep 0.02; done
  rm -f "$1"
}
