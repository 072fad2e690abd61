# The tarball: a program that needs nothing else, and installed as docs/install.md says.
check "the checksums hold" sha256sum --check --quiet --ignore-missing SHA256SUMS
mkdir /root/empty /root/bare
tar -C /root/empty -xf portcullis-*-linux.tar.gz
beside=$(echo /root/empty/*)
check "it unpacks into one folder" test -x "$beside/portcullis"
check "the program needs no shared library" says "statically linked" ldd "$beside/portcullis"
check "nobody else's files" eval '[ -z "$(find "$beside" ! -uid 0 -o ! -gid 0 -o -perm /022)" ]'
check "manual and completions are there" test -s "$beside/man/portcullis.1" -a -s "$beside/completions/_portcullis"
cp "$beside/portcullis" /root/bare
bare() { chroot /root/bare /portcullis "$@"; }
check "alone, it tells its version" says "portcullis 0." bare --version
check "its allocator is mimalloc" says "mimalloc: process init" env MIMALLOC_VERBOSE=1 /root/bare/portcullis --version
bare config default > /root/bare/portcullis.toml
check "alone, it prints the configuration that is beside it" cmp "$beside/portcullis.toml" /root/bare/portcullis.toml
check "alone, it checks that" bare check --config /portcullis.toml
# Names are found as in a system that has no modules for it.
mkdir /root/bare/etc /root/bare/state
echo "127.0.0.1 application" > /root/bare/etc/hosts
cat > /root/bare/portcullis.toml <<'CONFIG'
[http]
listen = ["127.0.0.1:8090"]
upstream = "http://application:3000"
[state]
directory = "/state"
[control]
socket = "/control.sock"
[service]
user = "root"
CONFIG
chroot /root/bare /portcullis run --config /portcullis.toml 2> /root/bare.log &
alone=$!
serves() { for _ in $(seq 50); do perl http.pl get "$1" 127.0.0.1 2> /dev/null | grep -q '^a page' && return; sleep 0.2; done; return 1; }
check "alone, it is a gate before an application that has a name" serves 127.0.0.1:8090
check "alone, it tells how it is" says "monitor" bare status --socket /control.sock
kill $alone
check "alone, it stops" wait $alone
cat /root/bare.log
for number in $(seq 20); do
  [ -z "$(documented "Anything else" "$number")" ] || step "Anything else" "$number"
done
check "it was ready when systemd said so" portcullis status
check "a page passes" page 10.99.0.1:80
check "own user, no capabilities, no new ones, seccomp" unprivileged "$(main)"
check "a helper with three" helps "$(main)"
check "it is attached" attached
check "a ban" portcullis ban add 10.99.0.2 --for 1h
check "the banned is dropped" drops 10.99.0.2
check "others are not" pings 10.99.0.3
before=$(main)
kill -9 "$before"
check "dropped while it is dead" drops 10.99.0.2
check "it comes back" replaced "$before"
check "stop" systemctl stop portcullis
check "dropped while it is stopped" drops 10.99.0.2
portcullis run --config /etc/portcullis/portcullis.toml 2> /root/by-hand.log &
by_hand=$!
check "started by hand" answers
check "it became its user" unprivileged $by_hand
check "the ban is in force" drops 10.99.0.2
kill $by_hand
check "it ends when it is told to" wait $by_hand
cat /root/by-hand.log
for number in 1 2; do step "Removing it" $number; done
check "nothing is attached any more" eval '! attached'
check "nobody is dropped any more" pings 10.99.0.2
