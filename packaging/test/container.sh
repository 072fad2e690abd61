# The container, as far as it can be had without its engine: the root that packaging/docker/Dockerfile makes, started as it
# says and with what packaging/docker/compose.yaml gives it.
instruction() { sed -e ':a' -e '/\\$/{N;s/\\\n//;ta' -e '}' Dockerfile | sed -n "s/^$1 //p"; }
words() { sed 's/.*\[//; s/[],"]/ /g'; }
given() { sed -n "s/^ *$1: *//p" compose.yaml; }
read -r archive unpacked <<< "$(instruction ADD)"
mkdir -p "$unpacked"
check "what is added is there" tar -C "$unpacked" -xf $archive
check "the image can be made" bash -ec "$(instruction RUN)"
find /image -mindepth 1 -printf '%M %u:%g %P\n' | sort -k 3
check "the program is in it, and no other" [ "$(find /image -type f -perm /111 -printf '%P ')" = "usr/bin/portcullis " ]
check "its user is in it" says "portcullis:x:970:970" cat /image/etc/passwd
mount --mkdir -t bpf bpf /root/bpf
install -d -m 700 /root/state
install -D -m 640 -g 970 portcullis.toml /root/portcullis/portcullis.toml
sed -i 's|^pins.*|pins = "/run/portcullis-bpf/portcullis"|' /root/portcullis/portcullis.toml
check "no capability is there before it is given" [ "$(given cap_drop)" = "[ALL]" ]
check "no new privileges" [ "$(given security_opt)" = '["no-new-privileges:true"]' ]
check "nothing is written but to volumes" [ "$(given read_only)" = true ]
cat > /etc/systemd/system/container.service <<UNIT
[Service]
RootDirectory=/image
MountAPIVFS=yes
PrivateDevices=yes
ProtectSystem=strict
ReadWritePaths=/var/lib/portcullis /run/portcullis /run/portcullis-bpf
BindReadOnlyPaths=/root/portcullis:/etc/portcullis
BindPaths=/root/state:/var/lib/portcullis /root/bpf:/run/portcullis-bpf
TemporaryFileSystem=/run/portcullis:mode=0750
CapabilityBoundingSet=$(given cap_add | words | sed 's/[A-Z_]\{2,\}/CAP_&/g')
NoNewPrivileges=yes
ExecStart=$(instruction ENTRYPOINT | words) $(instruction CMD | words)
UNIT
grep -E '^(Cap|Exec)' /etc/systemd/system/container.service
systemctl daemon-reload
main() { systemctl show -P MainPID container; }
inside() { nsenter --target "$(main)" --mount --root "$@"; }
healthy() { for _ in $(seq 60); do inside $(instruction HEALTHCHECK | words) > /dev/null 2>&1 && return; sleep 0.2; done; return 1; }
systemctl start container
check "it is healthy" healthy
check "a page passes" page 10.99.0.1:80
check "own user, no capabilities, no new ones, seccomp" unprivileged "$(main)"
check "a helper with four" eval 'has "$(helper "$(main)" | tr -d " ")" CapEff 000000c000001002'
check "nobody writes to the image" fails touch "/proc/$(main)/root/etc/written"
check "a ban" inside /usr/bin/portcullis ban add 10.99.0.2 --for 1h
check "the banned is dropped" drops 10.99.0.2
check "others are not" pings 10.99.0.3
check "the configuration is read anew" inside /usr/bin/portcullis reload
check "it stops" systemctl stop container
check "dropped while it is stopped" drops 10.99.0.2
systemctl start container
check "it is healthy again" healthy
check "the ban is in force" drops 10.99.0.2
check "it kept what it knew" says 10.99.0.2 inside /usr/bin/portcullis ban list
systemctl stop container
journalctl -u container --no-pager -o cat | tail -n 20
