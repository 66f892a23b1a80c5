#!/bin/bash
# install-nvidia-driver.sh BRANCH: installs Azure's kernel and the driver modules that Canonical has
# built and signed for exactly this kernel, and holds both. No DKMS: nothing is compiled or enrolled.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
branch=$1

apt-get install -qy --no-install-recommends \
  linux-image-azure \
  "linux-modules-nvidia-$branch-azure" \
  "libnvidia-compute-$branch" \
  "nvidia-utils-$branch" \
  "nvidia-compute-utils-$branch" \
  nvidia-modprobe
# dpkg-query also lists packages that others only speak of, so their state is asked.
if dpkg-query --showformat '${db:Status-Status}\n' --show 'nvidia-dkms-*' 2>/dev/null | grep -qx installed; then
  echo "a DKMS driver came along; it is not signed" >&2
  exit 1
fi

# A kernel without its modules, or the other way round, is a VM without a GPU.
dpkg-query --showformat '${db:Status-Status} ${Package}\n' --show 'linux-*azure*' '*nvidia*' |
  sed -n 's/^installed //p' | xargs apt-mark hold
apt-get clean
