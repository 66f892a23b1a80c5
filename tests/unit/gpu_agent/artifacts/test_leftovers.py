from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.artifacts.leftovers import (
    Leftover,
    choose_leftovers,
    find_leftovers,
    remove_leftovers,
)

NOW = 1e9
HOUR_S = 3600.0


def leftover(age_h: float, size_bytes: int = 10) -> Leftover:
    changed_at = NOW - HOUR_S * age_h
    return Leftover(path=Path(f"/x/{age_h}"), changed_at=changed_at, size_bytes=size_bytes)


def ages_chosen(*ages_h: float, missing_bytes: int = 0) -> list[float]:
    chosen = choose_leftovers(
        [leftover(age_h) for age_h in ages_h],
        now=NOW,
        max_age_s=24 * HOUR_S,
        missing_bytes=missing_bytes,
    )
    return [float(one.path.name) for one in chosen]


class TestChooseLeftovers:
    def test_takes_what_is_old(self):
        assert ages_chosen(1, 30, 23, 25) == [30, 25]

    def test_takes_the_oldest_first_until_there_is_space(self):
        assert ages_chosen(1, 3, 2, 30, missing_bytes=25) == [30, 3, 2]

    @given(st.floats(0, 0.1), st.integers(0, 10**12))
    def test_never_takes_what_may_be_in_use(self, age_h: float, missing_bytes: int):
        assert ages_chosen(age_h, missing_bytes=missing_bytes) == []


class TestRemoveLeftovers:
    def test_leaves_the_ledger_and_the_artifacts_alone(self, tmp_path):
        data, store = tmp_path / "data", tmp_path / "store"
        for path in ("data/ledger.sqlite3", "data/ledger.sqlite3.damaged-1", "store/.parts/x"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(b"x")
        (store / "jobs").mkdir()
        (store / "jobs" / "model.glb").write_bytes(b"x")
        later = (data / "ledger.sqlite3").stat().st_mtime + 25 * HOUR_S

        remove_leftovers(
            find_leftovers(data, store), max_age_s=24 * HOUR_S, least_free_bytes=0, now=later
        )

        left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
        assert sorted(left) == ["ledger.sqlite3", "model.glb"]

    def test_waits_for_the_next_time_when_the_folder_is_gone(self, tmp_path):
        gone = Leftover(path=tmp_path / "gone" / "x", changed_at=0.0, size_bytes=1)

        remove_leftovers([gone], max_age_s=HOUR_S, least_free_bytes=0, now=NOW)

        assert not gone.path.exists()
