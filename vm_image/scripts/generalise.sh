#!/bin/bash
# generalise.sh STAGING: takes out what belongs to the builder, and then the builder's user itself.
set -euo pipefail

rm -rf "$1"
cloud-init clean --logs --seed
truncate -s 0 /etc/machine-id
rm -f /etc/ssh/ssh_host_*
waagent -force -deprovision+user
sync
