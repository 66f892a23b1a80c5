"""What the app of 1 December 2026 stored is read, written and decided on as it did.

`decisions.jsonl` holds decisions from rehearsed seeds: a state, a command, the moment, and what
followed. An older app must be able to go on from what this one writes, so nothing here may change
without a plan for both directions (docs/decisions/0003).
"""

import json
from pathlib import Path

import pytest

from orchestrator.domain.pool import (
    Candidate,
    PoolPolicy,
    PoolState,
    command_from_json,
    command_to_json,
    decide,
)
from orchestrator.domain.pool.effects import effect_from_json, effect_to_json

FILE = Path(__file__).parents[4] / "fixtures/stored_forms/pool/decisions.jsonl"
DECISIONS = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]
NAMES = [f"{n} {one['command']['kind']}" for n, one in enumerate(DECISIONS)]


def stored(state: PoolState) -> str:
    """Give a state as it is stored, the order of its keys included."""
    return json.dumps(state.to_json())


@pytest.mark.parametrize("recorded", DECISIONS, ids=NAMES)
class TestRecordedDecisions:
    def test_are_read_and_written_as_they_were(self, recorded):
        for state in (recorded["state"], recorded["then"]["state"]):
            assert stored(PoolState.from_json(state)) == json.dumps(state)
        for effect in recorded["then"]["effects"]:
            assert effect_to_json(effect_from_json(effect)) == effect
        command = recorded["command"]
        assert command_to_json(command_from_json(command)) == command

    def test_are_decided_as_they_were(self, recorded):
        policy = PoolPolicy(candidates=tuple(Candidate(**one) for one in recorded["candidates"]))

        decision = decide(
            PoolState.from_json(recorded["state"]),
            command_from_json(recorded["command"]),
            recorded["now"],
            policy,
        )

        assert stored(decision.state) == json.dumps(recorded["then"]["state"])
        assert [effect_to_json(e) for e in decision.effects] == recorded["then"]["effects"]
        assert json.loads(json.dumps(decision.reply)) == recorded["then"]["reply"]
