"""``python -m localcloud.arm``: Azure's virtual machines on this machine."""

import asyncio
import logging
import os
import sys

from localcloud.arm.server import serve
from localcloud.arm.settings import read_settings


def main() -> None:
    """Serve until told to end."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        asyncio.run(serve(read_settings(None, os.environ)))
    except (ValueError, OSError) as error:
        sys.exit(f"localcloud.arm: {error}")


if __name__ == "__main__":
    main()
