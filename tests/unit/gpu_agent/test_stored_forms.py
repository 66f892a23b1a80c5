"""What agents of before left on their disks, and what the store holds: read, and written alike."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from gpu_agent.engines.hunyuan3d.weights import Weights
from gpu_agent.jobs.job_store import JobStore
from gpu_agent.wire import Stage
from tests.unit.gpu_agent import agent_folders
from tests.unit.gpu_agent.agent_folders import MACHINE_BOOT

OLD = Path(__file__).parents[2] / "fixtures" / "stored_forms" / "agent"
STORES = ("killed", "ended", "closed")


@pytest.fixture(name="old")
def _old(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def load(folder: Path, machine_boot: str = MACHINE_BOOT):
    store = JobStore(folder / "ledger.sqlite3", machine_boot=machine_boot)
    try:
        return store.load()
    finally:
        store.close()


class TestOldFolders:
    @pytest.mark.parametrize("name", STORES)
    def test_are_read(self, old: Path, name: str):
        state = load(old / name)

        assert agent_folders.views(state.jobs.values()) == (old / name / "views.json").read_text()
        assert (state.epoch, state.is_drained) == ((4, True) if name == "closed" else (5, False))
        assert state.is_closed is (name == "closed")
        assert not load(old / name, "boot-2").is_closed

    @pytest.mark.parametrize("name", STORES)
    def test_are_not_changed_by_reading(self, old: Path, name: str):
        load(old / name)

        found = agent_folders.rows(old / name / "ledger.sqlite3")

        assert found == (old / name / "rows.sql").read_text("utf-8")

    @pytest.mark.parametrize("name", STORES)
    def test_are_read_without_learned_times(self, old: Path, name: str):
        db = sqlite3.connect(old / name / "ledger.sqlite3")
        db.execute("DELETE FROM notes WHERE name = 'pace'")
        db.commit()
        db.close()

        state = load(old / name)

        assert agent_folders.views(state.jobs.values()) == (old / name / "views.json").read_text()
        assert state.estimates.kinds == {}

    def test_tell_the_learned_times_and_the_answers(self, old: Path):
        state = load(old / "killed")

        assert list(state.estimates.kinds) == ["{}", '{"detail": "high"}']
        assert state.estimates.kinds['{"detail": "high"}'][Stage.FINISH] == 1.5
        assert {number: answer.jobs for number, answer in state.answers.items()} == {
            (4, 1): [],
            (5, 1): ["fenced"],
        }

    def test_name_their_weights(self, old: Path):
        weights = Weights.open(old / "weights")

        weights.verify()

        assert weights.revisions == {"tencent/Hunyuan3D-2mini": "0123abc"}


class TestNewFolders:
    def test_are_those_of_before(self, tmp_path: Path):
        agent_folders.write_all(tmp_path / "new")

        for name in STORES:
            found = agent_folders.rows(tmp_path / "new" / name / "ledger.sqlite3")
            assert found == (OLD / name / "rows.sql").read_text("utf-8")
        for name in ("artifacts", "weights", "boot"):
            assert files(tmp_path / "new" / name) == files(OLD / name)


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
