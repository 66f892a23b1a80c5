#!/bin/bash
# check-extensions.sh HOME ARCHITECTURES: both extensions are there, are the compiled ones, and hold
# code for every GPU named; where there is a GPU, one triangle is drawn on it.
set -euo pipefail
home=$1 architectures=$2
here=$(cd "$(dirname "$0")" && pwd)

"$home/venv/bin/python" "$here/extensions.py" "$architectures"
