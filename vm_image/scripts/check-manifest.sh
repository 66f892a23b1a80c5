#!/bin/bash
# check-manifest.sh: the manifest is whole and names what a person asks first.
set -euo pipefail

manifest=/etc/coldforge/manifest.json
for name in image_version kernel nvidia_driver python python_packages ubuntu_packages weights; do
  python3 -c 'import json, sys; sys.exit(not json.load(open(sys.argv[1])).get(sys.argv[2]))' \
    "$manifest" "$name" || { echo "$manifest does not tell $name" >&2; exit 1; }
done
