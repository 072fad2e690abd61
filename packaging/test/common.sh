# What the suites share. Runs in the booted tree, and the suite with it.
exec > /root/test.log 2>&1
check() { if "${@:2}"; then echo "ok: $1"; else echo "FAILED: $1"; fi; }
# The Nth command that docs/install.md gives first under a heading, as it stands there.
documented() {
  awk -v heading="## $1" -v n="$2" '
    $0 == heading { under = 1; next }
    under && /^```/ { if (inside) exit; inside = 1; next }
    inside && ++line == n' /root/install.md
}
step() {
  local command
  command=$(documented "$1" "$2")
  check "install.md: ${command:?install.md has no such step: $1 $2}" eval "$command"
}
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
attached() { ip link show dev vs | grep -q xdp; }
absent() { [ ! -e "$1" ]; }
says() { "${@:2}" 2>&1 | grep -qF -- "$1"; }
fails() { ! "$@" > /dev/null 2>&1; }
# A page through the gate, as a client at an address of the other end.
page() { ip netns exec c perl /root/http.pl get "$1" "${2:-10.99.0.3}" 2> /dev/null | grep -q '^a page of the application'; }
ip netns add c
ip link add vs type veth peer name vc netns c
ip addr add 10.99.0.1/24 dev vs
ip link set vs up
for host in 2 3; do ip -n c addr add 10.99.0.$host/24 dev vc; done
ip -n c link set vc up
ip link set lo up
perl /root/http.pl serve 127.0.0.1:3000 &
cat > /root/portcullis.toml <<'CONFIG'
mode = "enforce"
[http]
listen = ["10.99.0.1:80"]
upstream = "http://127.0.0.1:3000"
[protect]
paths = ["/api/**"]
[packet]
interfaces = ["vs"]
pins = "/run/portcullis-bpf/pins"
CONFIG
# Who edits what install.md says to edit.
cat > /usr/local/bin/editor <<'EDITOR'
#!/bin/sh
case $1 in
*socket*) sed -i 's/^ListenStream=.*/ListenStream=10.99.0.1:80/' "$1" ;;
*) cat /root/portcullis.toml > "$1" ;;
esac
EDITOR
chmod 755 /usr/local/bin/editor
export EDITOR=/usr/local/bin/editor
. /root/suite.sh
journalctl -u portcullis --no-pager -o cat | tail -n 20
echo "done"
