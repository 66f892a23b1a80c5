"""What a power cut tears is named, with what to do about it."""

import sqlite3
from contextlib import closing

import pytest

from localcloud.arm.identity import TokenIssuer
from localcloud.torn import TornError, check_state

FILES = (
    "storage/__azurite_db_blob__.json",
    "storage/__azurite_db_table__.json",
    "storage/__azurite_db_blob_extent__.json",
    "arm/state.json",
    "arm/token.key",
    "functions_host/durable.sqlite",
    "vms/gpu-0/ledger.sqlite3",
)


@pytest.fixture(name="folder")
def _folder(tmp_path):
    """The state of a local cloud that ended as it should."""
    for name in FILES:
        path = tmp_path / "my cloud" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            path.write_text('{"filename": "a", "collections": ["b", "c"]}')
        elif path.suffix == ".key":
            TokenIssuer(path)
        else:
            with closing(sqlite3.connect(path)) as database:
                database.execute("CREATE TABLE jobs (id TEXT)")
                database.executemany("INSERT INTO jobs VALUES (?)", [("x" * 900,)] * 50)
                database.commit()
    return tmp_path / "my cloud"


class TestCheckState:
    def test_is_silent_on_what_is_whole(self, folder, tmp_path):
        check_state(folder)
        check_state(tmp_path / "new")

    @pytest.mark.parametrize("name", FILES)
    @pytest.mark.parametrize("how", ["half", "zeros"])
    def test_names_the_file_that_is_torn_and_says_what_to_do(self, folder, name, how):
        whole = (folder / name).read_bytes()
        torn = whole[: len(whole) // 2] if how == "half" else bytes(len(whole))
        (folder / name).write_bytes(torn)

        with pytest.raises(TornError) as caught:
            check_state(folder)

        assert f"{name} in {folder} is torn" in str(caught.value)
        assert f"mv '{folder}' '{folder}-torn'" in str(caught.value)

    @pytest.mark.parametrize("name", [name for name in FILES if "sqlite" not in name])
    def test_takes_an_empty_file_for_a_torn_one(self, folder, name):
        """Azurite would begin anew with one, and forget what the other files refer to."""
        (folder / name).write_bytes(b"")

        with pytest.raises(TornError):
            check_state(folder)
