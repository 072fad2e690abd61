#!/usr/bin/env bash
# Proves the package in a booted Debian: packaging/test.sh TREE DEB NEXT
# TREE is a Debian tree with systemd, iproute2 and iputils-ping (debootstrap --variant=minbase --include=...), which is
# changed; DEB is the package, NEXT the same with a higher version. Needs root and systemd-nspawn. Ends with 0 if all
# holds. `cargo xtask test --packages` calls it.
set -euo pipefail
tree=$1 package=$2 next=$3
rm -rf "$tree/root/test.log" "$tree/var/lib/portcullis" "$tree/etc/portcullis"
chroot "$tree" dpkg --purge portcullis > /dev/null 2>&1 || true
install -m 644 "$package" "$tree/root/portcullis.deb"
install -m 644 "$next" "$tree/root/next.deb"
# The watchdog is waited for: half a minute is long for a test.
install -d "$tree/etc/systemd/system/portcullis.service.d"
printf '[Service]\nWatchdogSec=4s\n' > "$tree/etc/systemd/system/portcullis.service.d/test.conf"
cat > "$tree/root/portcullis.toml" <<'CONFIG'
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
has() { grep -q "^$2:.$3\$" "/proc/$1/status"; }
helper() { cat "/proc/$1/task/$1/children"; }
unprivileged() { has "$1" CapEff 0000000000000000 && has "$1" NoNewPrivs 1 && has "$1" Seccomp 2 && ! grep -q '^Uid:.0' "/proc/$1/status"; }
helps() { local helper; helper=$(helper "$1"); has ${helper% } CapEff 000000c000001000 && has ${helper% } Seccomp 2; }
replaced() { for _ in $(seq 100); do [ "$(main)" != "$1" ] && [ "$(main)" != 0 ] && answers && return; sleep 0.2; done; return 1; }
mode() { [ "$(stat -c '%a %U:%G' "$1")" = "$2" ]; }
version() { [ "$(dpkg-query -W -f '${Version}' portcullis)" = "$(dpkg-deb -f "$1" Version)" ]; }
attached() { ip link show dev vs | grep -q xdp; }
absent() { [ ! -e "$1" ]; }
ip netns add c
ip link add vs type veth peer name vc netns c
ip addr add 10.99.0.1/24 dev vs
ip link set vs up
for host in 2 3; do ip -n c addr add 10.99.0.$host/24 dev vc; done
ip -n c link set vc up
check "it installs" dpkg -i /root/portcullis.deb
check "it made its user" id portcullis
check "nobody else reads the configuration" mode /etc/portcullis/portcullis.toml "640 root:portcullis"
check "it does not start before it is configured" absent /run/portcullis/control.sock
cat /root/portcullis.toml > /etc/portcullis/portcullis.toml
check "it starts, and is ready when systemd says so" systemctl start portcullis
check "it answers" portcullis status
check "own user, no capabilities, no new ones, seccomp" unprivileged "$(main)"
check "a helper with three" helps "$(main)"
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
before=$(main)
kill -9 $(helper "$before")
check "it comes back with another helper" replaced "$before"
before=$(main)
ip netns exec c ping -i 0.02 -I 10.99.0.2 10.99.0.1 > /root/banned.log &
banned=$!
ip netns exec c ping -i 0.02 -I 10.99.0.3 10.99.0.1 > /root/others.log &
others=$!
check "an upgrade" dpkg -i /root/next.deb
check "the other version is there" version /root/next.deb
check "the program of the other version runs" replaced "$before"
kill -INT $banned $others
wait
tail -n 2 /root/banned.log /root/others.log
check "no packet of the banned passed meanwhile" grep -q ' 0 received' /root/banned.log
check "none of others was lost" grep -q ' 0% packet loss' /root/others.log
check "the configuration stayed" cmp /root/portcullis.toml /etc/portcullis/portcullis.toml
check "stop" systemctl stop portcullis
check "dropped while it is stopped" drops 10.99.0.2
check "detach" portcullis detach
check "nothing is dropped any more" pings 10.99.0.2
check "start as after a reboot" systemctl start portcullis
check "the ban is back" drops 10.99.0.2
check "it is attached" attached
check "it can be removed" dpkg -r portcullis
check "nothing is attached any more" eval '! attached'
check "nobody is dropped any more" pings 10.99.0.2
check "no bpffs stays" eval '! mountpoint -q /run/portcullis-bpf'
check "what was kept stays" test -s /var/lib/portcullis/portcullis.redb
check "it can be purged" dpkg -P portcullis
check "nothing stays in /var/lib" absent /var/lib/portcullis
check "nothing stays in /etc" absent /etc/portcullis
journalctl -u portcullis --no-pager -o cat | tail -n 20
echo "done"
INSIDE
cat > "$tree/etc/systemd/system/portcullis-test.service" <<'UNIT'
[Unit]
After=systemd-journald.service dbus.service
[Service]
Type=oneshot
ExecStart=/bin/bash /root/test.sh
ExecStopPost=/bin/systemctl poweroff --no-block
UNIT
install -d "$tree/etc/systemd/system/multi-user.target.wants"
ln -sf ../portcullis-test.service "$tree/etc/systemd/system/multi-user.target.wants/"
SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 timeout 240 systemd-nspawn --boot --register=no --keep-unit --quiet --directory="$tree" \
  --private-network --machine="portcullis-test-$$" --capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON,CAP_SYS_ADMIN \
  --system-call-filter="bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
  < /dev/null > /dev/null 2>&1 || true
cat "$tree/root/test.log"
grep -q '^done$' "$tree/root/test.log" && ! grep -q '^FAILED' "$tree/root/test.log"
