#!/bin/bash
# install-units.sh ROOT IMAGE_VERSION: lays the files under ROOT over the system, makes the users of
# the agent and the switch, and enables the units.
set -euo pipefail
root=$1 image_version=$2

cp -R --no-preserve=ownership "$root/." /
mkdir -p /etc/coldforge
printf 'GPU_AGENT_IMAGE_VERSION=%s\n' "$image_version" >/etc/coldforge/image.env
systemd-sysusers
systemctl daemon-reload
systemctl enable gpu-boot.service gpu-agent.service gpu-switch.service weights-cache.service \
  nvidia-persistenced.service
