# The sockets that systemd holds: the gate starts when somebody connects, and restarts under load without a connection that
# is refused or broken. Set up as docs/install.md says.
mv portcullis_9.9.9-1_*.deb next.deb
apt-get install --yes ./portcullis_*.deb > /dev/null
editor /etc/portcullis/portcullis.toml
# It may not bind ports below 1024 itself.
install -d /etc/systemd/system/portcullis.service.d
cat > /etc/systemd/system/portcullis.service.d/test.conf <<'UNIT'
[Service]
AmbientCapabilities=
AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON
CapabilityBoundingSet=
CapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN CAP_PERFMON
UNIT
command systemctl daemon-reload
# Whoever edits a unit does it at a terminal.
systemctl() {
  case $1 in
  edit) script --quiet --return --command "systemctl $*" /dev/null ;;
  *) command systemctl "$@" ;;
  esac
}
active() { systemctl is-active --quiet "$1"; }
stopped() { for _ in $(seq 100); do [ "$(systemctl show -P ActiveState portcullis)" = inactive ] && return; sleep 0.1; done; return 1; }
# Clients ask from `load NAME` until `counted NAME`, which writes what became of it.
load() { ip netns exec c perl http.pl load 10.99.0.1:80 10.99.0.3 8 "/root/$1.count" & load=$!; }
counted() { kill $load; wait $load; echo "$1:" $(cat "/root/$1.count"); }
count() { awk -v what="$2" '$1 == what { print $2 }' "/root/$1.count"; }
lossless() { [ "$(count "$1" answered)" -ge "$2" ] && [ "$(count "$1" refused) $(count "$1" broken) $(count "$1" other)" = "0 0 0" ]; }
silent() { "$@" > /root/said 2>&1; cat /root/said; [ ! -s /root/said ]; }
restarts() {
  local before
  for _ in $(seq "$1"); do
    before=$(main)
    systemctl restart portcullis && [ "$(main)" != "$before" ] || return 1
  done
}
check "alone, it may not bind port 80" fails systemctl start portcullis
systemctl stop portcullis
systemctl reset-failed portcullis
step "Restarts that lose no connection" 1
step "Restarts that lose no connection" 2
check "nothing is wrong with the units" silent systemd-analyze --man=no verify portcullis.service portcullis.socket portcullis-control.socket
check "a page passes by port 80" page 10.99.0.1:80
check "without a capability to bind it" unprivileged "$(main)"
check "it tells where it listens, and who bound that" says "10.99.0.1:80, handed over" portcullis status
check "the socket is there from the boot on" says enabled systemctl is-enabled portcullis.socket
systemctl stop portcullis
check "it is stopped" fails active portcullis
check "the socket is not" active portcullis.socket
check "whoever connects first starts it" page 10.99.0.1:80
check "it runs" active portcullis
load calm
sleep 1
check "five restarts under load" restarts 5
sleep 1
counted calm
check "no connection was refused or broken" lossless calm 200
load upgrade
before=$(main)
check "an upgrade under load" dpkg -i next.deb
check "the program of the other version runs" replaced "$before"
sleep 1
counted upgrade
check "no connection was refused or broken" lossless upgrade 100
before=$(main)
kill -9 "$before"
check "who connects while it is dead is answered" page 10.99.0.1:80
check "by another one" replaced "$before"
# Whoever connects starts it, but not for ever where that cannot be.
systemctl stop portcullis
echo 'mode = "maybe"' > /etc/portcullis/portcullis.toml
check "with a wrong configuration it does not start" fails page 10.99.0.1:80
ends() { for _ in $(seq 100); do active portcullis.socket || return 0; sleep 0.1; done; return 1; }
check "systemd gives up after some attempts" ends
cat portcullis.toml > /etc/portcullis/portcullis.toml
check "it starts when that is mended" systemctl start portcullis.socket portcullis
check "a page passes" page 10.99.0.1:80
# Commands wait as well.
step "The same for commands and scrapes" 1
check "only its group may use the control socket" mode /run/portcullis/control.sock "660 root:portcullis"
while :; do portcullis status > /dev/null 2>&1 && echo answered || echo failed; done > /root/commands &
commands=$!
check "three restarts with commands" restarts 3
kill $commands
echo "commands: $(grep -c answered /root/commands) answered, $(grep -c failed /root/commands) failed"
check "no command failed" eval 'grep -q answered /root/commands && ! grep -q failed /root/commands'
systemctl stop portcullis
check "the socket outlives the daemon" mode /run/portcullis/control.sock "660 root:portcullis"
check "a command starts it" portcullis status
install -d /etc/systemd/system/portcullis-control.socket.d
printf '[Socket]\nSocketMode=0666\n' > /etc/systemd/system/portcullis-control.socket.d/test.conf
systemctl daemon-reload
systemctl stop portcullis portcullis-control.socket
systemctl start portcullis-control.socket
check "a control socket for everybody is refused" fails systemctl start portcullis
check "with the reason" says "SocketMode=0660" journalctl -u portcullis --no-pager -o cat -n 30
rm -r /etc/systemd/system/portcullis-control.socket.d
systemctl daemon-reload
systemctl stop portcullis portcullis-control.socket portcullis.socket
systemctl reset-failed portcullis
check "it starts again" systemctl start portcullis-control.socket portcullis.socket portcullis
# What scrapes ask.
sed -e '/^SocketGroup/d' -e '/^SocketMode/d' -e 's|^ListenStream=.*|ListenStream=127.0.0.1:9464|' \
  -e 's|^FileDescriptorName=.*|FileDescriptorName=admin|' /lib/systemd/system/portcullis-control.socket \
  > /etc/systemd/system/portcullis-admin.socket
systemctl daemon-reload
systemctl stop portcullis
systemctl start portcullis-admin.socket
check "a scrape starts it, and waits for it" says "portcullis_" perl http.pl get 127.0.0.1:9464 127.0.0.1 /metrics localhost
check "and learns that it is ready" says "ready" perl http.pl get 127.0.0.1:9464 127.0.0.1 /readyz localhost
# A queue for each worker.
install -d /etc/systemd/system/portcullis.socket.d
printf '[Socket]\nListenStream=10.99.0.1:80\nReusePort=yes\n' > /etc/systemd/system/portcullis.socket.d/test.conf
systemctl daemon-reload
systemctl stop portcullis.socket portcullis
check "it takes two sockets of one address" systemctl start portcullis.socket portcullis
check "there are two" [ "$(grep -c ' 0100630A:0050 00000000:0000 0A' /proc/net/tcp)" = 2 ]
load queues
sleep 0.5
check "three restarts under load" restarts 3
sleep 0.5
counted queues
check "no connection was refused or broken" lossless queues 100
# What the counts would tell.
load torn
sleep 0.5
systemctl stop portcullis.socket portcullis
sleep 0.5
counted torn
check "without the socket connections are refused" test "$(count torn refused)" -gt 0
systemctl start portcullis.socket portcullis
check "it can be removed while systemd holds its sockets" dpkg -r portcullis
check "no socket stays" eval '! active portcullis.socket && ! active portcullis-control.socket'
check "nothing stays in /run" absent /run/portcullis
check "nothing is attached any more" eval '! attached'
