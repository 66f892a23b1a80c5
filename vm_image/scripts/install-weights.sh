#!/bin/bash
# install-weights.sh HOME VERSIONS: fetches the weights at their pinned revisions, safetensors only,
# and writes the manifest of hashes that the agent holds them against.
set -euo pipefail
home=$1 versions=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$home/weights"
cd "$home/app"
"$home/venv/bin/python" "$here/fetch_weights.py" "$versions" "$home/weights"
# safetensors writes files for its owner alone; the agent is another user.
chmod -R a+rX,go-w "$home/weights"
