"""What the demo shows."""

import io

import pytest
from rich.console import Console

from localcloud.demo_view import describe_vm, draw_closing

VM = {"name": "gpu-0", "phase": "ready", "slots": [], "stops_at": 106.0, "why": "idle window"}


class TestDescribeVm:
    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({}, "VM gpu-0 is idle and stops in 6 s (idle window)"),
            ({"stops_at": 90.0}, "VM gpu-0 is idle and stops in 0 s (idle window)"),
            ({"slots": ["job"]}, "VM gpu-0 is ready (idle window)"),
            ({"phase": "starting", "why": None}, "VM gpu-0 is starting"),
        ],
    )
    def test_says_what_it_does_and_until_when(self, changes, text):
        assert describe_vm({**VM, **changes}, now=100.0) == text


class TestDrawClosing:
    @pytest.fixture(name="lines")
    def _lines(self):
        """The closing tables on a terminal of 80 columns."""
        console = Console(file=io.StringIO(), width=80)
        phases = {"VM starting": 6.0, "stage shape": 0.04, "idle until the VM stops": 1_234.5}
        facts = [("cost", "USD 0.0172"), ("engine", "word " * 40)]
        console.print(draw_closing(phases, facts, block="#"))
        return console.file.getvalue().splitlines()

    def test_fits_80_columns_and_cuts_nothing_off(self, lines):
        assert max(len(line) for line in lines) <= 80
        assert "…" not in "".join(lines)
        assert "".join(lines).count("word") == 40

    def test_draws_bars_in_proportion_and_none_without_length(self, lines):
        bars = {line[:24].strip(): line.count("#") for line in lines if "#" in line}

        assert bars == {"VM starting": 1, "stage shape": 1, "idle until the VM stops": 24}
