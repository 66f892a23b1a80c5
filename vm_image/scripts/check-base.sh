#!/bin/bash
# check-base.sh SNAPSHOT: what install-base.sh has to leave behind.
set -euo pipefail
snapshot=$1

# No package may come from anywhere else, today or later.
others=$(grep -rhE '^(URIs:|deb )' /etc/apt/sources.list.d | grep -vF "/ubuntu/$snapshot" || true)
[[ -z $others ]] || { echo "packages also come from: $others" >&2; exit 1; }
for unit in apt-daily.timer apt-daily-upgrade.timer unattended-upgrades.service; do
  [[ $(systemctl is-enabled "$unit" 2>/dev/null) == masked ]] ||
    { echo "$unit is not masked: it would change the kernel under the driver" >&2; exit 1; }
done
status=$(dpkg-query --showformat '${db:Status-Status}' --show unattended-upgrades 2>/dev/null || true)
[[ $status != installed ]] || { echo "unattended-upgrades is installed" >&2; exit 1; }
version=$(python3 -c 'import sys; print("{}.{}".format(*sys.version_info))')
[[ $version == 3.12 ]] || { echo "Python is $version, the lock is for 3.12" >&2; exit 1; }
