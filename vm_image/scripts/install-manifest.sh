#!/bin/bash
# install-manifest.sh HOME VERSIONS IMAGE_VERSION: writes down what the image holds, as it was found
# and not as it was asked for, to /etc/coldforge/manifest.json.
set -euo pipefail
home=$1 versions=$2 image_version=$3
here=$(cd "$(dirname "$0")" && pwd)

"$home/venv/bin/python" "$here/software_manifest.py" "$home" "$versions" "$image_version" \
  >/etc/coldforge/manifest.json
