"""Random programs on our engine and on Microsoft's in-memory backend come to the same.

``DIFFERENTIAL_PROGRAMS=5000 DIFFERENTIAL_FIRST_SEED=500 pytest tests/differential`` runs more and
others; ``python -m tests.differential SEED`` shows one.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict

import pytest

from tests.differential.modes import MODES, make_pool, run_seed

PROGRAMS = int(os.environ.get("DIFFERENTIAL_PROGRAMS", "100"))
FIRST_SEED = int(os.environ.get("DIFFERENTIAL_FIRST_SEED", "0"))
SEEDS = range(FIRST_SEED, FIRST_SEED + PROGRAMS)
LIMIT_S = 600 + PROGRAMS
ASKED_AGAIN = 3
LEAST_KILLS = {"plain": 0, "doubled": 0, "killed": 20, "killed-once": 0.5}
"""Hosts that die for each program, on average."""


class Peer:
    """The other side, at work in a process of its own from the beginning."""

    def __init__(self, seeds):
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.differential.peer_side"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._process.stdin.write(json.dumps(list(seeds)))
        self._process.stdin.close()
        self._traces = None

    def read_traces(self):
        if self._traces is None:
            text = self._process.stdout.read()
            assert self._process.wait(LIMIT_S) == 0
            self._traces = {int(seed): trace for seed, trace in json.loads(text).items()}
        return self._traces

    def stop(self):
        self._process.kill()
        self._process.wait(LIMIT_S)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def peer():
    peer = Peer(SEEDS)
    yield peer
    peer.stop()


@pytest.fixture(scope="module")
def pool(peer):
    with make_pool(2) as pool:
        yield pool


def ask_alone(seed):
    """Run one program on an in-memory backend that has nothing else to do: its time is real."""
    peer = Peer([seed])
    try:
        return peer.read_traces()[seed]
    finally:
        peer.stop()


class TestRandomPrograms:
    @pytest.mark.parametrize("mode", MODES)
    def test_come_to_the_same_on_both_sides(self, mode, peer, pool, capsys):
        began = time.monotonic()
        runs = list(pool.map(run_seed, SEEDS, [mode] * PROGRAMS, chunksize=5))
        took_s = time.monotonic() - began
        expected = peer.read_traces()

        ours = {run.seed: run.trace and asdict(run.trace) for run in runs}
        different = {seed: trace for seed, trace in ours.items() if trace != expected[seed]}
        for seed in list(different)[:ASKED_AGAIN]:
            if different[seed] == ask_alone(seed):
                del different[seed]

        kills = sum(run.kills for run in runs)
        with capsys.disabled():
            sys.stdout.write(
                f"\nseeds {SEEDS.start}-{SEEDS.stop - 1} {mode}: {PROGRAMS} programs in "
                f"{took_s:.0f} s, {kills} kills, {len(different)} different "
            )
        assert different == {}, f"see: python -m tests.differential {min(different)} {mode}"
        assert kills >= LEAST_KILLS[mode] * PROGRAMS
