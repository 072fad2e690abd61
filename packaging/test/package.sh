# The Debian package: installed as docs/install.md says, used, killed, upgraded in a flood, removed, purged.
# portcullis_9.9.9-1_*.deb is the same with a higher version.
version() { [ "$(dpkg-query -W -f '${Version}' portcullis)" = "$(dpkg-deb -f "$1" Version)" ]; }
# The watchdog is waited for: half a minute is long for a test.
install -d /etc/systemd/system/portcullis.service.d
printf '[Service]\nWatchdogSec=4s\n' > /etc/systemd/system/portcullis.service.d/test.conf
mv portcullis_9.9.9-1_*.deb next.deb
step "Debian" 1
check "it made its user" id portcullis
check "nobody else reads the configuration" mode /etc/portcullis/portcullis.toml "640 root:portcullis"
check "it does not start before it is configured" absent /run/portcullis/control.sock
step "Debian" 2
step "Debian" 3
check "it was ready when systemd said so" portcullis status
check "a page passes" page 10.99.0.1:80
check "own user, no capabilities, no new ones, seccomp" unprivileged "$(main)"
check "a helper with three" helps "$(main)"
check "a ban" portcullis ban add 10.99.0.2 --for 1h
check "the banned is dropped" drops 10.99.0.2
check "others are not" pings 10.99.0.3
check "reload" systemctl reload portcullis
useradd --groups portcullis keeper
useradd stranger
check "who is in its group may ask it" runuser -u keeper -- portcullis status
check "nobody else may" fails runuser -u stranger -- portcullis status
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
check "an upgrade" dpkg -i next.deb
check "the other version is there" version next.deb
check "the program of the other version runs" replaced "$before"
kill -INT $banned $others
wait $banned $others
tail -n 2 /root/banned.log /root/others.log
check "no packet of the banned passed meanwhile" grep -q ' 0 received' /root/banned.log
check "none of others was lost" grep -q ' 0% packet loss' /root/others.log
check "the configuration stayed" cmp /root/portcullis.toml /etc/portcullis/portcullis.toml
head -c 32 /dev/urandom | base64 > master.key
chmod 600 master.key
printf '[Service]\nLoadCredential=portcullis-master-key:/root/master.key\n' > /etc/systemd/system/portcullis.service.d/key.conf
systemctl daemon-reload
systemctl stop portcullis
rm /var/lib/portcullis/master.key
check "the master key may be a credential" systemctl start portcullis
check "it lies nowhere else then" absent /var/lib/portcullis/master.key
echo 'mode = "maybe"' > /etc/portcullis/portcullis.toml
check "a wrong configuration is refused" fails systemctl restart portcullis
check "with the place of the mistake" says "portcullis.toml:1:8" journalctl -u portcullis --no-pager -o cat -n 30
sleep 2
check "and not tried again" [ "$(systemctl show -P ActiveState portcullis) $(systemctl show -P NRestarts portcullis)" = "failed 0" ]
cat portcullis.toml > /etc/portcullis/portcullis.toml
check "the right one is taken" systemctl start portcullis
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
