import json

import pytest

from benchmarks.warm_job.agent_log import FIRST_STAGE, AgentLog


def line(job_id, at, message=FIRST_STAGE):
    return json.dumps({"at": at, "message": message, "job_id": job_id}) + "\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "agent.log"
    path.write_text(line("old", "2026-01-01T00:00:00.000Z"))
    return path


@pytest.fixture
def log(path):
    log = AgentLog(path)
    yield log
    log.close()


def append(path, text):
    with path.open("a") as file:
        file.write(text)


class TestAgentLog:
    def test_reads_the_moment_of_the_first_such_line(self, path, log):
        append(path, "a line that is no JSON\n")
        append(path, line("new", "1970-01-01T00:00:01.500Z"))
        append(path, line("new", "1970-01-01T00:00:09.000Z"))

        assert log.wait_for(FIRST_STAGE, "new", limit_s=5) == 1.5

    def test_puts_a_line_together_that_came_in_halves(self, path, log):
        text = line("new", "1970-01-01T00:00:02.000Z")
        append(path, text[:20])
        with pytest.raises(TimeoutError):
            log.wait_for(FIRST_STAGE, "new", limit_s=0)

        append(path, text[20:])

        assert log.wait_for(FIRST_STAGE, "new", limit_s=5) == 2.0

    def test_knows_nothing_of_lines_before_it(self, log):
        with pytest.raises(TimeoutError):
            log.wait_for(FIRST_STAGE, "old", limit_s=0)
