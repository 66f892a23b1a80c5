#!/bin/bash
# check-agent.sh HOME [ENGINE]: runs the agent's smoke job from what install-agent.sh has installed.
set -euo pipefail
home=$1 engine=${2:-preview}
here=$(cd "$(dirname "$0")" && pwd)

export GPU_ENGINE_WEIGHTS_DIR=$home/weights
cd "$home/app"
"$home/venv/bin/python" "$here/smoke.py" "$engine"
