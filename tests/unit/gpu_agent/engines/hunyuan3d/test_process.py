import io
import json
import logging

from gpu_agent.engines.hunyuan3d.process import relay_lines


def relayed(caplog, *lines: str) -> list[logging.LogRecord]:
    caplog.set_level(logging.INFO)
    relay_lines(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), 7, "GPU process")
    return caplog.records


class TestRelayLines:
    def test_passes_our_own_lines_through_with_their_job(self, caplog):
        line = {"at": "x", "level": "warning", "logger": "a.b", "message": "hot", "job_id": "j"}

        (record,) = relayed(caplog, json.dumps(line))

        assert (record.name, record.levelname, record.getMessage()) == ("a.b", "WARNING", "hot")
        assert (record.job_id, record.pid) == ("j", 7)

    def test_wraps_what_libraries_print(self, caplog):
        (record,) = relayed(caplog, "", "10%\r20%\rFatal Python error: Segmentation fault")

        assert record.getMessage() == "GPU process: Fatal Python error: Segmentation fault"

    def test_survives_what_only_looks_like_ours(self, caplog):
        records = relayed(
            caplog,
            '{"at": broken',
            '{"at": "x", "message": "%s %d", "level": 3, "args": [1], "name": "n", "msg": "m"}',
        )

        assert [record.getMessage() for record in records] == [
            'GPU process: {"at": broken',
            "%s %d",
        ]

    def test_keeps_the_level_of_a_long_line_of_our_own(self, caplog):
        trace = "x" * 20_000
        line = {"at": "x", "level": "error", "logger": "a", "message": "no", "exception": trace}

        (record,) = relayed(caplog, json.dumps(line))

        assert (record.levelname, record.exception) == ("ERROR", trace)

    def test_takes_a_line_without_end_in_parts_of_which_it_keeps_the_beginning(self, caplog):
        records = relayed(caplog, "x" * 140_000)

        assert [len(record.getMessage()) for record in records] == [4013, 4013, 4013]
