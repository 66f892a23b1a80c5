"""What every `KeyTable` keeps, the fake included."""

import threading

import pytest

from orchestrator.adapters.table_jobs import TableKeys
from orchestrator.domain.ports import KeyTable
from tests.fakes.key_table import FakeKeyTable


@pytest.fixture(params=["fake", pytest.param("table", marks=pytest.mark.azurite)])
def keys(request: pytest.FixtureRequest) -> KeyTable:
    """Give an empty table of each kind."""
    if request.param == "fake":
        return FakeKeyTable()
    return TableKeys(request.getfixturevalue("clean_storage").tables)


class TestFind:
    def test_gives_nothing_for_a_free_key(self, keys: KeyTable):
        assert keys.find("k") is None

    def test_gives_whoever_was_first_and_ties_nothing(self, keys: KeyTable):
        keys.find("k")
        keys.claim("k", "job-1", "hash-1")

        assert keys.find("k") == ("job-1", "hash-1")


class TestClaim:
    def test_ties_a_new_key(self, keys: KeyTable):
        assert keys.claim("k", "job-1", "hash-1") == ("job-1", "hash-1")

    def test_gives_whoever_was_first(self, keys: KeyTable):
        keys.claim("k", "job-1", "hash-1")

        assert keys.claim("k", "job-2", "hash-2") == ("job-1", "hash-1")

    @pytest.mark.parametrize("key", ["a/b\\c#d?e", "ключ", " ", "k" * 200, "'"])
    def test_takes_any_text_for_a_key(self, keys: KeyTable, key: str):
        keys.claim(key, "job-1", "hash-1")

        assert keys.claim(key, "job-2", "hash-2") == ("job-1", "hash-1")
        assert keys.claim(key + "x", "job-2", "hash-2") == ("job-2", "hash-2")

    def test_gives_a_crowd_one_answer(self, keys: KeyTable):
        barrier, answers = threading.Barrier(6), []

        def claim(number: int) -> None:
            barrier.wait(10.0)
            answers.append(keys.claim("k", f"job-{number}", "hash"))

        threads = [threading.Thread(target=claim, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(set(answers)) == 1
        assert len(answers) == 6
