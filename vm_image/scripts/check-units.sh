#!/bin/bash
# check-units.sh IMAGE_VERSION [SYSTEM]: systemd finds nothing to say about the units and little to
# attack in them; they are enabled, their users exist, and cloud-init knows its configuration.
set -euo pipefail
image_version=$1 system=${2:-/}
units=(gpu-boot.service gpu-agent.service gpu-switch.service weights-cache.service)
fail() { echo "$*" >&2; exit 1; }

# It ends well with most of what it finds, so what it says is the verdict.
said=$(cd "$system/etc/systemd/system" &&
  systemd-analyze verify --man=no --root="$system" "${units[@]}" 2>&1) || said+=" (verify failed)"
[[ -z $said ]] || fail "$said"
for unit in "${units[@]}"; do
  systemd-analyze security --no-pager --offline=true --root="$system" --threshold=25 "$unit" \
    >/dev/null || fail "$unit is exposed more than 2.5: see systemd-analyze security"
done

for unit in "${units[@]}" nvidia-persistenced.service; do
  [[ $(systemctl --root="$system" is-enabled "$unit") == enabled ]] || fail "$unit is not enabled"
done
for user in gpu-agent gpu-switch; do
  grep -q "^$user:" "$system/etc/passwd" || fail "the user $user was not made"
done
grep -qx "GPU_AGENT_IMAGE_VERSION=$image_version" "$system/etc/coldforge/image.env" ||
  fail "the agent would report another image"
cloud-init schema --config-file "$system/etc/cloud/cloud.cfg.d/90-coldforge.cfg" >/dev/null
