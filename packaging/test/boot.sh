#!/usr/bin/env bash
# Runs one suite in a booted Debian: packaging/test/boot.sh TREE SUITE [FILE...]
# TREE is a Debian tree with systemd, iproute2 and iputils-ping (debootstrap --variant=minbase --include=...), which is
# changed; SUITE is a script beside this one, without its ending; the FILEs lie in /root of the tree, where it runs. Needs
# root and systemd-nspawn. Ends with 0 if all holds. `cargo xtask test --packages` calls it for each suite.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
tree=$1 suite=$2
shift 2
install -m 644 "$here/common.sh" "$here/http.pl" "$here/../../docs/install.md" "$tree/root/"
install -m 644 "$here/$suite.sh" "$tree/root/suite.sh"
install -m 644 "$@" "$tree/root/"
install -d "$tree/etc/systemd/system/multi-user.target.wants"
cat > "$tree/etc/systemd/system/portcullis-test.service" <<'UNIT'
[Unit]
After=systemd-journald.service dbus.service
[Service]
Type=oneshot
WorkingDirectory=/root
ExecStart=/bin/bash /root/common.sh
ExecStopPost=/bin/systemctl poweroff --no-block
UNIT
ln -sf ../portcullis-test.service "$tree/etc/systemd/system/multi-user.target.wants/"
SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 timeout 600 systemd-nspawn --boot --register=no --keep-unit --quiet --directory="$tree" \
  --private-network --machine="portcullis-test-$$" --capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON,CAP_SYS_ADMIN \
  --system-call-filter="bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
  < /dev/null > /dev/null 2>&1 || true
cat "$tree/root/test.log"
held=$(grep -c '^ok: ' "$tree/root/test.log" || true)
failed=$(grep -c '^FAILED: ' "$tree/root/test.log" || true)
echo "$suite: $held checks held, $failed failed"
grep -q '^done$' "$tree/root/test.log" && [ "$failed" = 0 ]
