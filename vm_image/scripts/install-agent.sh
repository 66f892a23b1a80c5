#!/bin/bash
# install-agent.sh HOME SOURCE LOCK [BARE_LOCK]: makes HOME/venv from the locks, hashes checked, and
# lays the agent's source into HOME/app. BARE_LOCK is installed without what its packages ask for.
set -euo pipefail
home=$1 source=$2 lock=$3 bare_lock=${4:-}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

rm -rf "$home/venv" "$home/app"
mkdir -p "$home/app"
"${PYTHON:-python3}" -m venv "$home/venv"
# The lock is whole: what it does not name is not installed, and nothing is compiled.
"$home/venv/bin/pip" install --quiet --no-deps --require-hashes --only-binary=:all: -r "$lock"
"$home/venv/bin/pip" check
if [[ -n $bare_lock ]]; then
  "$home/venv/bin/pip" install --quiet --no-deps --require-hashes --only-binary=:all: -r "$bare_lock"
fi

cp -R "$source" "$home/app/gpu_agent"
find "$home/app" -name __pycache__ -type d -prune -exec rm -rf {} +
# The units can't write here, so what Python would compile at every start is compiled now.
"$home/venv/bin/python" -m compileall -q "$home/app"
chmod -R a+rX,go-w "$home"
