#!/bin/bash
# check-weights.sh HOME: every weight file is whole, none but two is a pickle, the agent may read all.
# Where there is a GPU, a job of the real engine runs.
set -euo pipefail
home=$1
here=$(cd "$(dirname "$0")" && pwd)

# The two that the texture model has in no other form are loaded without running code.
paint="$home/weights/tencent/Hunyuan3D-2/hunyuan3d-paint-v2-0"
pickles=$(find "$home/weights" -type f ! -path "$paint/text_encoder/pytorch_model.bin" \
  ! -path "$paint/unet/diffusion_pytorch_model.bin" \( -name '*.ckpt' -o -name '*.bin' -o -name '*.pt' -o -name '*.pth' -o -name '*.pkl' \))
[[ -z $pickles ]] || { echo "pickles among the weights: $pickles" >&2; exit 1; }
closed=$(find "$home/weights" ! -perm -o=r)
[[ -z $closed ]] || { echo "not readable for the agent: $closed" >&2; exit 1; }
cd "$home/app"
"$home/venv/bin/python" -m gpu_agent.engines.hunyuan3d.weights verify "$home/weights"

if nvidia-smi >/dev/null 2>&1; then
  bash "$here/check-agent.sh" "$home" hunyuan3d
else
  echo "no GPU here: a job with these weights is for the first VM to run"
fi
