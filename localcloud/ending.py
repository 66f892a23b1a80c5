"""How the programs of the local cloud end."""

import signal
from types import FrameType

EXIT_INTERRUPTED = 130
"""What a shell expects of a program ended by Ctrl-C."""


def end_like_ctrl_c() -> None:
    """Let SIGTERM do what Ctrl-C does, so that whatever ends the program, it cleans up."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
