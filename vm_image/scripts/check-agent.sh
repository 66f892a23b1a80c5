#!/bin/bash
# check-agent.sh HOME ENGINE: runs the agent's smoke job from what install-agent.sh has installed.
# On a builder without a GPU hunyuan3d wants tiny weights: `python -m gpu_agent.engines.hunyuan3d.tiny`.
set -euo pipefail
home=$1 engine=${2:?"name the engine: hunyuan3d or preview"}
here=$(cd "$(dirname "$0")" && pwd)

export GPU_ENGINE_WEIGHTS_DIR=$home/weights
if [[ $engine == hunyuan3d && -z ${GPU_ENGINE_DEVICE:-} ]] && ! nvidia-smi >/dev/null 2>&1; then
  echo "no GPU here: the job runs on the CPU, which says nothing about the GPU"
  export GPU_ENGINE_DEVICE=cpu
fi
cd "$home/app"
"$home/venv/bin/python" "$here/smoke.py" "$engine"
