"""Limits of a decoding process, each met for real in a process of its own."""

import signal
import subprocess
import sys

import pytest

from localcloud.blueprint import ROOT


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=ROOT
    )


class TestLimitCpu:
    def test_ends_a_process_that_goes_on_and_on(self):
        ended = run(
            "from orchestrator.intake.confinement import limit_cpu\n"
            "limit_cpu(0.1)\n"
            "while True: pass\n"
        )

        assert ended.returncode == -signal.SIGXCPU


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not keep to RLIMIT_AS")
class TestLimitedMemory:
    def test_fails_an_allocation_beyond_it_and_none_after_it(self):
        ended = run(
            "from orchestrator.intake.confinement import limited_memory\n"
            "try:\n"
            "    with limited_memory(50_000_000): bytearray(200_000_000)\n"
            "except MemoryError: print('refused')\n"
            "bytearray(200_000_000)\n"
            "print('given')\n"
        )

        assert ended.stdout.split() == ["refused", "given"]


class TestConfine:
    def test_takes_the_right_to_write_files(self, tmp_path):
        ended = run(
            "from orchestrator.intake.confinement import confine\n"
            "confine()\n"
            "import os\n"
            f"os.write(os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_WRONLY), b'x')\n"
        )

        assert "OSError" in ended.stderr
        assert (tmp_path / "file").read_bytes() == b""
