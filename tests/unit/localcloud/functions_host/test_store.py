import sqlite3
import threading
from datetime import UTC, datetime

import pytest

from localcloud.functions_host.errors import DataFolderError
from localcloud.functions_host.store import Changes, InstanceRow, Message, Parent, Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROW = InstanceRow(
    "i", "x", "o", "", "Running", "1", None, None, NOW, NOW, Parent("p", "y", "parent", 3)
)


class TestStore:
    def test_reads_back_what_it_was_given(self, store):
        message = Message(1, "i", None, NOW, '{"a":1}')

        store.apply(Changes(rows=[ROW], history={"i": (0, ["{}", "[]"])}, sent=[message]))

        assert store.read_instance("i") == ROW
        assert store.read_history("i") == ["{}", "[]"]
        assert store.read_inbox() == [message]

    def test_a_step_is_stored_whole_or_not_at_all(self, store):
        message = Message(1, "i", None, None, "{}")
        store.apply(Changes(sent=[message]))

        with pytest.raises(sqlite3.IntegrityError):
            store.apply(Changes(rows=[ROW], sent=[message]))

        assert store.read_instance("i") is None

    def test_a_bad_step_does_not_take_others_with_it(self, store):
        store.apply(Changes(sent=[Message(0, "i", None, None, "{}")]))
        errors = []

        def add(key):
            try:
                store.apply(Changes(sent=[Message(key, "i", None, None, "{}")]))
            except sqlite3.IntegrityError:
                errors.append(key)

        threads = [threading.Thread(target=add, args=[n % 40]) for n in range(80)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [message.id for message in store.read_inbox()] == list(range(40))
        assert len(errors) == 41

    def test_refuses_a_file_that_is_not_its_own(self, tmp_path):
        (tmp_path / "durable.sqlite").write_bytes(b"something else" * 100)

        with pytest.raises(DataFolderError, match="not a data file"):
            Store(tmp_path / "durable.sqlite", lease="x")

    def test_refuses_a_newer_version(self, tmp_path):
        path = tmp_path / "durable.sqlite"
        Store(path, lease="x").close()
        with sqlite3.connect(path) as file:
            file.execute("UPDATE facts SET value = '99' WHERE name = 'schema_version'")
        file.close()

        with pytest.raises(DataFolderError, match="version 99"):
            Store(path, lease="x")
