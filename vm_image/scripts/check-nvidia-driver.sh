#!/bin/bash
# check-nvidia-driver.sh KERNEL DRIVER: holds the kernel that runs, and the driver's modules for it,
# against the pins; looks at the GPU itself where the builder has one.
set -euo pipefail
kernel=$1
driver=$2

fail() { echo "$*" >&2; exit 1; }

running=$(uname -r)
[[ $running == "$kernel" ]] || fail "kernel $running runs, pinned is $kernel"
for module in nvidia nvidia-uvm; do
  signer=$(modinfo -F signer "$module")
  [[ $signer == Canonical* ]] || fail "$module for $running is signed by '$signer', not by Canonical"
  found=$(modinfo -F version "$module")
  [[ $found == "$driver" ]] || fail "$module is $found, pinned is $driver"
done
apt-mark showhold | grep -qx linux-image-azure || fail "the kernel is not held"
apt-mark showhold | grep -q '^linux-modules-nvidia-' || fail "the driver is not held"

if lspci -d 10de: | grep -q .; then
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
else
  echo "no GPU here: that the driver finds one is for the first VM to show"
fi
