#!/usr/bin/env bash
# deploy/systemd/remora-agent.service under a systemd of its own, on a copy of this machine's files that is thrown away.
#
#   systemd.sh DIR PROGRAMS    PROGRAMS holds remora and remora-agent; prints what members and others of its group meet
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ $1 != --inside ]]; then
  unshare --mount --pid --cgroup --uts --ipc --fork --kill-child --mount-proc "$here/systemd.sh" --inside "$@" >"$1/systemd.log" 2>&1 ||
    tail -20 "$1/systemd.log" >&2
  cat "$1/upper/told"
  exit
fi

dir=$2 programs=$3 root=$2/root
mkdir -p "$root" "$dir/upper" "$dir/work" "$dir/data"
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
for fs in run tmp; do mount -t tmpfs tmpfs "$root/$fs"; done
mkdir -p "$root/var/lib/docker" "$root/context" "$root/oldroot"
mount --bind "$dir/data" "$root/var/lib/docker"

units=$root/etc/systemd/system
rm -rf "$units"
mkdir -p "$units"
cp "$here/../../deploy/systemd/remora-agent.service" "$units"
cp "$programs/remora" "$programs/remora-agent" "$root/usr/local/bin"
for group in remora docker; do chroot "$root" groupadd --system --force $group; done
cat >"$units/docker.socket" <<'X'
[Socket]
ListenStream=/run/docker.sock
SocketMode=0660
SocketGroup=docker
X
cat >"$units/docker.service" <<'X'
[Service]
ExecStart=/usr/sbin/dockerd -H fd:// --bridge=none --iptables=false
X
cat >"$units/try.service" <<'X'
[Unit]
Wants=systemd-journald.service remora-agent.service
After=remora-agent.service
[Service]
StandardOutput=file:/told
StandardError=inherit
ExecStart=/bin/bash /try.sh
ExecStopPost=/bin/systemctl exit
X
printf 'FROM scratch\nCOPY Dockerfile /\n' >"$root/context/Dockerfile"
cat >"$root/try.sh" <<'X'
as() { setpriv --reuid nobody --regid "$1" --clear-groups env HOME=/nonexistent remora "${@:2}" 2>&1; }
echo "== a member"
as remora build --wait 30s -t app /context
echo "exit code $?"
echo "== anybody else"
as nogroup info --wait 0s
echo "exit code $?"
echo "== the agent"
grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$(pidof remora-agent)/status"
echo "== stopped"
systemctl stop remora-agent
systemctl show --property Result,ExecMainStatus remora-agent
journalctl --unit remora-agent --no-pager >/journal
X
cd "$root"
pivot_root . oldroot
umount -l /oldroot
exec env -i container=remora-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=try.service --show-status=no
