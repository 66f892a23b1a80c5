#!/bin/bash
# install-units.sh ROOT IMAGE_VERSION [SYSTEM]: lays the files under ROOT over the system, makes the
# users of the agent and the switch, and enables the units. SYSTEM is / unless this is a rehearsal.
set -euo pipefail
root=$1 image_version=$2 system=${3:-/}

cp -R --no-preserve=ownership "$root/." "$system"
mkdir -p "$system/etc/coldforge"
printf 'GPU_AGENT_IMAGE_VERSION=%s\n' "$image_version" >"$system/etc/coldforge/image.env"
systemd-sysusers --root="$system"
systemctl --root="$system" enable gpu-boot.service gpu-agent.service gpu-switch.service \
  weights-cache.service nvidia-persistenced.service
