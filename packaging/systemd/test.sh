#!/usr/bin/env bash
# Proves the units in a booted systemd: packaging/systemd/test.sh TREE PORTCULLIS
# TREE is a Debian tree with systemd, iproute2 and iputils-ping (debootstrap --variant=minbase --include=...), which is
# changed; PORTCULLIS is the program. Needs root and systemd-nspawn. Ends with 0 if all holds.
set -euo pipefail
tree=$1 program=$2 here=$(cd "$(dirname "$0")" && pwd)
install -D -m 755 "$program" "$tree/usr/bin/portcullis"
install -D -m 644 "$here/portcullis.sysusers" "$tree/usr/lib/sysusers.d/portcullis.conf"
install -m 644 "$here/run-portcullis\\x2dbpf.mount" "$tree/etc/systemd/system/"
# The watchdog is waited for: half a minute is long for a test.
sed 's/^WatchdogSec=.*/WatchdogSec=6s/' "$here/portcullis.service" > "$tree/etc/systemd/system/portcullis.service"
rm -rf "$tree/var/lib/portcullis" "$tree/root/test.log"
install -d "$tree/etc/portcullis"
cat > "$tree/etc/portcullis/portcullis.toml" <<'CONFIG'
mode = "enforce"
[http]
listen = ["10.99.0.1:80"]
upstream = "http://127.0.0.1:3000"
[packet]
interfaces = ["vs"]
pins = "/run/portcullis-bpf/pins"
CONFIG
cat > "$tree/root/test.sh" <<'INSIDE'
exec > /root/test.log 2>&1
check() { if "${@:2}"; then echo "ok: $1"; else echo "FAILED: $1"; fi; }
pings() { ip netns exec c ping -c1 -W1 -I "$1" 10.99.0.1 > /dev/null; }
drops() { ! pings "$1"; }
answers() { for _ in $(seq 60); do portcullis status > /dev/null 2>&1 && return; sleep 0.2; done; return 1; }
main() { systemctl show -P MainPID portcullis; }
unprivileged() { grep -q '^NoNewPrivs:.1' "/proc/$1/status" && grep -q '^CapBnd:.000000c000001400' "/proc/$1/status" \
  && grep -q '^Seccomp:.2' "/proc/$1/status" && ! grep -q '^Uid:.0' "/proc/$1/status"; }
replaced() { for _ in $(seq 100); do [ "$(main)" != "$1" ] && [ "$(main)" != 0 ] && answers && return; sleep 0.2; done; return 1; }
systemd-sysusers
ip netns add c
ip link add vs type veth peer name vc netns c
ip addr add 10.99.0.1/24 dev vs
ip link set vs up
for host in 2 3; do ip -n c addr add 10.99.0.$host/24 dev vc; done
ip -n c link set vc up
check "it starts, and is ready when systemd says so" systemctl start portcullis
check "it answers" portcullis status
check "own user, four capabilities, no new ones, seccomp" unprivileged "$(main)"
check "a ban" portcullis ban add 10.99.0.2 --for 1h
check "the banned is dropped" drops 10.99.0.2
check "others are not" pings 10.99.0.3
check "reload" systemctl reload portcullis
before=$(main)
kill -9 "$before"
check "dropped while it is dead" drops 10.99.0.2
check "it comes back" replaced "$before"
before=$(main)
kill -STOP "$before"
check "the watchdog notices that it is stuck" replaced "$before"
check "stop" systemctl stop portcullis
check "dropped while it is stopped" drops 10.99.0.2
check "detach" portcullis detach
check "nothing is dropped any more" pings 10.99.0.2
check "start as after a reboot" systemctl start portcullis
check "the ban is back" drops 10.99.0.2
journalctl -u portcullis --no-pager | tail -60
echo "done"
INSIDE
cat > "$tree/etc/systemd/system/portcullis-test.service" <<'UNIT'
[Unit]
After=systemd-journald.service
[Service]
Type=oneshot
ExecStart=/bin/bash /root/test.sh
ExecStopPost=/bin/systemctl poweroff --no-block
UNIT
install -d "$tree/etc/systemd/system/multi-user.target.wants"
ln -sf ../portcullis-test.service "$tree/etc/systemd/system/multi-user.target.wants/"
SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 timeout 180 systemd-nspawn --boot --register=no --keep-unit --quiet --directory="$tree" \
  --private-network --machine=portcullis-test --capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON,CAP_SYS_ADMIN \
  --system-call-filter=bpf < /dev/null > /dev/null 2>&1 || true
cat "$tree/root/test.log"
grep -q '^done$' "$tree/root/test.log" && ! grep -q '^FAILED' "$tree/root/test.log"
