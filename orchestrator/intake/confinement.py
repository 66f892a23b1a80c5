"""Limits that a decoding process puts on itself before it reads a stranger's bytes.

What they can't hold (memory on macOS, time anywhere) the parent watches from outside.

`seal` is for a file that takes the process over: from then on it can open nothing, neither a file
nor ``/proc`` of the app, nor a connection. Linux on x86-64 lets it also start no process, and
reach none by a signal or a debugger's calls.
"""

import ctypes
import functools
import math
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NICENESS = 5
"""A third of the share of a process at 0: the app goes first, and yet images are read on a machine
that is busy with something else."""
_MAX_OPEN_FILES = 64
_HAS_ADDRESS_LIMIT = sys.platform == "linux"
"""macOS has the limit and does not keep to it."""


_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_AUDIT_ARCH_X86_64 = 0xC000003E
_CLONE_THREAD = 0x10000
_LOAD, _IF_EQUAL, _IF_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
"""Instructions of a filter, as ``linux/bpf_common.h`` has them."""
_CALL_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
"""Where ``struct seccomp_data`` has what a filter judges."""
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
_ALLOWED_CALLS = {
    "read": 0,
    "write": 1,
    "close": 3,
    "fstat": 5,
    "poll": 7,
    "lseek": 8,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "pread64": 17,
    "writev": 20,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "nanosleep": 35,
    "getpid": 39,
    "sendto": 44,
    "recvfrom": 45,
    "exit": 60,
    "gettimeofday": 96,
    "getrlimit": 97,
    "getrusage": 98,
    "sysinfo": 99,
    "sigaltstack": 131,
    "setrlimit": 160,
    "gettid": 186,
    "time": 201,
    "futex": 202,
    "sched_getaffinity": 204,
    "clock_gettime": 228,
    "clock_nanosleep": 230,
    "exit_group": 231,
    "set_robust_list": 273,
    "getrandom": 318,
    "membarrier": 324,
    "rseq": 334,
}
"""Numbers of x86-64. Whatever else is called fails with EPERM."""
_CLONE, _PRLIMIT64, _CLONE3 = 56, 302, 435


def confine() -> None:
    """Give way to the parent, write no file, leave no core, be the first to go without memory."""
    os.nice(_NICENESS)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
    ):
        resource.setrlimit(limit, (value, value))
    if sys.platform == "linux":
        # Some containers refuse it; then the kernel chooses by itself.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def seal(*, filters_calls: bool) -> None:
    """Give up opening files for good, and most calls of the kernel with them.

    Raises:
        OSError: The kernel does not filter calls; files can't be opened all the same.
    """
    _mapped_bytes()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    if filters_calls:
        _filter_calls()


def limit_cpu(seconds: float) -> None:
    """Let this process be ended by SIGXCPU once it has used so much more CPU, in seconds.

    One that ignores that is killed a second later.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit_s = math.ceil(used.ru_utime + used.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 1))


@contextmanager
def limited_memory(allowance_bytes: int) -> Iterator[None]:
    """Have allocations fail beyond so many bytes on top of what is mapped already."""
    if not _HAS_ADDRESS_LIMIT:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_mapped_bytes() + allowance_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _mapped_bytes() -> int:
    pages = int(os.pread(_open_statm(os.getpid()), 100, 0).split()[0]) if _HAS_ADDRESS_LIMIT else 0
    return pages * resource.getpagesize()


@functools.cache
def _open_statm(pid: int) -> int:
    """Open it once for each process: later there may be no right to."""
    return os.open(f"/proc/{pid}/statm", os.O_RDONLY)


def _filter_calls() -> None:
    """Have the kernel refuse what `_ALLOWED_CALLS` does not name, to all threads."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise OSError("only Linux on x86-64 has a filter here")
    program = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_IF_EQUAL, 1, 0, _AUDIT_ARCH_X86_64),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _CALL_AT),
    ]
    for call in _ALLOWED_CALLS.values():
        program += [(_IF_EQUAL, 0, 1, call), (_RETURN, 0, 0, _ALLOW)]
    program += [
        # glibc takes clone then, whose flags can be looked at.
        *((_IF_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ENOSYS)),
        # A thread, no process.
        *((_IF_EQUAL, 0, 3, _CLONE), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)),
        *((_IF_SET, 0, 1, _CLONE_THREAD), (_RETURN, 0, 0, _ALLOW)),
        # Its own limits, nobody else's.
        *((_IF_EQUAL, 0, 3, _PRLIMIT64), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)),
        *((_IF_EQUAL, 0, 1, 0), (_RETURN, 0, 0, _ALLOW)),
        (_RETURN, 0, 0, _EPERM),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
    described = struct.pack("HP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel filters no calls")
