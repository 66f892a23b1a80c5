#!/bin/bash
# check-pins.sh VERSIONS: refuses to build while a pin is open, and names each that is.
set -euo pipefail

python3 "$(dirname "$0")/open_pins.py" "$1"
