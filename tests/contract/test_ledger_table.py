"""What every `LedgerTable` keeps, the fake included."""

import pytest

from orchestrator.adapters.table_jobs import TableLedger
from orchestrator.domain.pool import RecordInterval
from orchestrator.domain.pool.effects import effect_to_json
from orchestrator.domain.ports import LedgerTable
from tests.fakes.ledger_table import FakeLedgerTable


@pytest.fixture(params=["fake", pytest.param("table", marks=pytest.mark.azurite)])
def ledger(request: pytest.FixtureRequest) -> LedgerTable:
    """Give an empty table of each kind."""
    if request.param == "fake":
        return FakeLedgerTable()
    return TableLedger(request.getfixturevalue("clean_storage").tables)


def interval(vm: str = "gpu-0", began_at: float = 1.8e9, **values) -> dict:
    return effect_to_json(
        RecordInterval(
            **{
                "vm": vm,
                "epoch": 4_000_000_000,
                "began_at": began_at,
                "ended_at": began_at + 10.5,
                "parts": {"cold_start": 4.5, "job": 6.0},
                "cost_usd": 0.010713,
                "is_estimated": False,
                **values,
            }
        )
    )


class TestRecord:
    def test_keeps_an_interval_as_it_was(self, ledger: LedgerTable):
        ledger.record(interval())

        (kept,) = ledger.list_intervals("gpu-0")
        assert {"kind": "RecordInterval", **kept} == interval()

    def test_keeps_the_first_of_two(self, ledger: LedgerTable):
        ledger.record(interval())
        ledger.record(interval(cost_usd=9.0))

        (kept,) = ledger.list_intervals("gpu-0")
        assert kept["cost_usd"] == 0.010713

    def test_lists_the_intervals_of_one_vm_oldest_first(self, ledger: LedgerTable):
        for began_at in (1.8e9 + 500, 1.8e9, 1.8e9 + 100.25):
            ledger.record(interval(began_at=began_at))
        ledger.record(interval(vm="gpu-1"))

        begins = [row["began_at"] for row in ledger.list_intervals("gpu-0")]
        assert begins == [1.8e9, 1.8e9 + 100.25, 1.8e9 + 500]
        assert ledger.list_intervals("gpu-2") == []
