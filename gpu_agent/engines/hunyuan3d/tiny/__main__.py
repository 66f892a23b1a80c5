"""``python -m gpu_agent.engines.hunyuan3d.tiny DIR``: write a whole folder of tiny weights."""

import sys
from pathlib import Path

from gpu_agent.engines.hunyuan3d.tiny.folder import write_tiny_weights


def main() -> int:
    """Write the folder; the answer is the exit code."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m gpu_agent.engines.hunyuan3d.tiny DIR\n")
        return 2
    weights = write_tiny_weights(Path(sys.argv[1]))
    sys.stdout.write(f"{len(weights.files)} files, {weights.fingerprint}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
