#!/bin/bash
# check-weights.sh HOME: every weight file is whole, none is a pickle, and the agent may read all.
# Where there is a GPU, a job of the real engine runs.
set -euo pipefail
home=$1
here=$(cd "$(dirname "$0")" && pwd)

pickles=$(find "$home/weights" -type f \( -name '*.ckpt' -o -name '*.bin' -o -name '*.pt' -o -name '*.pth' -o -name '*.pkl' \))
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
