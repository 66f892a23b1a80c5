"""Stands for ``systemctl stop gpu-agent`` in a VM of the local cloud.

``python -m localcloud.stop_agent ARM_URL VM``: the agent's processes end, and it is not started
again before the VM's next boot. Trusts what ``REQUESTS_CA_BUNDLE`` names.
"""

import os
import sys
from pathlib import Path

from localcloud.https import LocalControls


def main(arguments: list[str]) -> int:
    """Stop a VM's agent; 2 for a wrong call."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m localcloud.stop_agent ARM_URL VM\n")
        return 2
    arm_url, vm = arguments
    controls = LocalControls(arm_url, Path(os.environ["REQUESTS_CA_BUNDLE"]))
    controls.set_fault("agent_dies", vm=vm, stays_dead=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
