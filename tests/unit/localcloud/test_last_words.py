"""Why a program of the local cloud failed, and whose log tells more."""

import pytest

from coldforge.errors import JobFailedError, RefusedError, ServerFailureError
from localcloud.component import ComponentError, read_tail
from localcloud.last_words import choose_log, describe, explain


def job_failed(stage):
    return JobFailedError("it broke", code="engine_failed", retryable=False, stage=stage)


class Cloud:
    """A local cloud as far as `explain` looks at it."""

    def __init__(self, folder, *, ended=None):
        self.logs = {name: folder / f"{name}.log" for name in ("functions_host", "gpu-0")}
        self.agent_log = {"gpu-0": self.logs["gpu-0"]}
        self._ended = ended
        for name, log in self.logs.items():
            log.write_text(f"first\nlast of {name}\n")

    def check(self):
        if self._ended:
            raise self._ended


class TestChooseLog:
    @pytest.mark.parametrize(
        ("error", "name"),
        [
            (job_failed("shape"), "gpu-0"),
            (job_failed(None), "functions_host"),
            (ServerFailureError("later"), "functions_host"),
            (KeyError("vms"), "functions_host"),
            (RefusedError("no photo"), None),
        ],
    )
    def test_asks_who_was_at_work(self, error, name):
        assert choose_log(error, vms=["gpu-0"]) == name


class TestExplain:
    def test_ends_with_the_last_lines_of_the_log(self, tmp_path):
        text = str(explain(job_failed("shape"), Cloud(tmp_path)))

        assert text.startswith("it broke\n")
        assert text.endswith("last of gpu-0")

    def test_names_a_component_that_ended_whatever_was_noticed_first(self, tmp_path):
        log = tmp_path / "arm.log"
        log.write_text("out of memory\n")
        ended = ComponentError("arm", "ended with exit code -9", log)

        text = str(explain(job_failed("shape"), Cloud(tmp_path, ended=ended)))

        assert text.startswith("arm ended with exit code -9")
        assert text.endswith("out of memory")

    def test_says_no_more_than_the_server_to_a_wrong_request(self, tmp_path):
        assert str(explain(RefusedError("no photo"), Cloud(tmp_path))) == "no photo"


class TestDescribe:
    def test_gives_the_sentence_of_an_expected_error(self):
        assert describe(OSError("port 7071 is taken")) == "port 7071 is taken"

    def test_shows_where_a_fault_of_the_program_is(self):
        try:
            {}["vms"]
        except KeyError as error:
            text = describe(error)

        assert "fault of the program" in text
        assert "test_last_words.py" in text


class TestReadTail:
    def test_gives_the_last_lines_only(self, tmp_path):
        log = tmp_path / "long.log"
        log.write_text("\n".join(f"line {number}" for number in range(10_000)))

        lines = read_tail(log).splitlines()

        assert lines[-1] == "line 9999"
        assert len(lines) == 20

    def test_says_that_there_is_nothing(self, tmp_path):
        (tmp_path / "empty.log").touch()

        assert read_tail(tmp_path / "absent.log") == "(no log)"
        assert read_tail(tmp_path / "empty.log") == "(empty)"
