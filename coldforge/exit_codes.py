"""What the command's exit status says to a script."""

from enum import IntEnum

from coldforge.errors import (
    ApiError,
    ColdforgeError,
    JobCancelledError,
    JobFailedError,
    ServerFailureError,
    SettingError,
    WaitTimeoutError,
)


class ExitCode(IntEnum):
    """Exit status of ``coldforge``."""

    OK = 0
    JOB_FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    TIMED_OUT = 5
    CANCELLED = 6
    FAULT = 70
    INTERRUPTED = 130


HELP = """\
\b
Exit status:
  0    done
  1    the job failed
  2    the command line is wrong, or a file can't be read or written
  3    refused by the server: bad image, bad option, no such job, wrong key
  4    the server can't be reached, or failed
  5    the job did not end in time; it goes on
  6    the job was cancelled
  70   a bug in coldforge itself
  130  interrupted; the job goes on
"""

_WORST_FIRST = (
    ExitCode.FAULT,
    ExitCode.UNREACHABLE,
    ExitCode.TIMED_OUT,
    ExitCode.JOB_FAILED,
    ExitCode.REFUSED,
    ExitCode.USAGE,
    ExitCode.CANCELLED,
    ExitCode.OK,
)


def exit_code_for(error: Exception | None) -> ExitCode:
    """Return the status that stands for an error, or for none."""
    match error:
        case None:
            return ExitCode.OK
        case OSError() | SettingError():
            return ExitCode.USAGE
        case JobFailedError():
            return ExitCode.JOB_FAILED
        case JobCancelledError():
            return ExitCode.CANCELLED
        case WaitTimeoutError():
            return ExitCode.TIMED_OUT
        case ServerFailureError():
            return ExitCode.UNREACHABLE
        case ApiError():
            return ExitCode.REFUSED
        case ColdforgeError():
            return ExitCode.UNREACHABLE
        case _:
            return ExitCode.FAULT


def worst_of(codes: list[ExitCode]) -> ExitCode:
    """Return the one status for several jobs."""
    return min(codes, key=_WORST_FIRST.index, default=ExitCode.OK)
