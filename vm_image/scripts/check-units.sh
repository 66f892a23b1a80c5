#!/bin/bash
# check-units.sh ROOT [IMAGE_VERSION]: systemd finds nothing to say about the units under ROOT, and
# little to attack in them. With IMAGE_VERSION, on the image itself: they are enabled, too.
set -euo pipefail
root=$1 image_version=${2:-}
units=(gpu-boot.service gpu-agent.service gpu-switch.service weights-cache.service)
fail() { echo "$*" >&2; exit 1; }

# It ends well with most of what it finds, so what it says is the verdict.
said=$(cd "$root/etc/systemd/system" &&
  systemd-analyze verify --man=no --root="$root" "${units[@]}" 2>&1) || said+=" (verify failed)"
[[ -z $said ]] || fail "$said"
for unit in "${units[@]}"; do
  systemd-analyze security --no-pager --offline=true --root="$root" --threshold=25 "$unit" >/dev/null ||
    fail "$unit is exposed more than 2.5: see systemd-analyze security"
done

[[ -n $image_version ]] || exit 0
for unit in "${units[@]}" nvidia-persistenced.service; do
  systemctl is-enabled --quiet "$unit" || fail "$unit is not enabled"
done
id gpu-agent gpu-switch >/dev/null || fail "the users were not made"
grep -qx "GPU_AGENT_IMAGE_VERSION=$image_version" /etc/coldforge/image.env ||
  fail "the agent would report another image"
cloud-init schema --config-file /etc/cloud/cloud.cfg.d/90-coldforge.cfg
