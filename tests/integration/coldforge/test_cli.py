"""The command, in this process and as one of its own."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

import coldforge
from coldforge import server_options
from coldforge.cli import cli
from tests.fakes.job_api import FAILS, MODEL, PREVIEW, RUNS, SUCCEEDS, WAITS, FakeJobApi, serving

DEADLINE_S = 20


@pytest.fixture(name="run")
def _run(api, tmp_path, monkeypatch):
    """Runs the command in an empty folder against the fake server."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(server_options, "OUTAGE_LIMIT_S", 0.2)

    def run(*arguments: object, **options):
        environ = {"COLDFORGE_URL": api.url, "COLDFORGE_KEY": "k"}
        return CliRunner().invoke(cli, [str(a) for a in arguments], env=environ, **options)

    return run


class TestSubmit:
    def test_saves_the_model_and_the_picture(self, run, photo, tmp_path):
        result = run("submit", photo, "-o", tmp_path / "new" / "m.glb", "--preview", "p.png")

        assert result.exit_code == 0, result.output
        assert (tmp_path / "new" / "m.glb").read_bytes() == MODEL
        assert (tmp_path / "here" / "p.png").read_bytes() == PREVIEW
        assert "24,312 faces, watertight, 31 s, USD 0.0312" in result.stdout

    def test_shows_plain_lines_where_there_is_no_terminal(self, run, photo):
        result = run("submit", photo)

        assert "chair.jpg: queued, position 2, waiting for a GPU VM, VM gpu-0" in result.stderr
        assert "chair.jpg: shape 40%, VM gpu-0 ready" in result.stderr
        assert "\x1b" not in result.output
        assert "queued" not in result.stdout

    def test_prints_nothing_but_json_for_scripts(self, run, photo):
        result = run("submit", photo, "--json", "--metadata", "who=me", "--seed", "7")

        body = json.loads(result.stdout)
        assert (body["id"], body["state"]) == ("job1", "succeeded")
        assert body["files"] == {"model.glb": "chair.glb"}

    def test_asks_for_what_the_options_say(self, run, api, photo):
        run("submit", photo, "--seed", "7", "--option", "texture=false", "--priority", "low")

        asked = api.jobs["job1"].asked
        assert json.loads(asked["options"]) == {"texture": False, "seed": 7}
        assert asked["priority"] == "low"

    def test_takes_several_photos_and_holds_none_up(self, run, api, photo, tmp_path):
        missing = tmp_path / "missing.jpg"
        api.script = [RUNS, SUCCEEDS]

        result = run("submit", photo, missing, photo, "-o", tmp_path / "models", "--json")

        first, second, third = map(json.loads, result.stdout.splitlines())
        assert result.exit_code == 2
        assert [first["photo"], third["photo"]] == ["chair.jpg", "chair.jpg (2)"]
        assert second["error"]["code"] == "file_error"
        assert {path.name for path in (tmp_path / "models").iterdir()} == {
            "chair.glb",
            "chair-2.glb",
        }

    def test_reads_stdin(self, run, api):
        result = run("submit", "-", input=b"\xff\xd8piped")

        assert result.exit_code == 0, result.output
        assert api.jobs["job1"].asked["image"] == b"\xff\xd8piped"

    def test_can_leave_at_once(self, run, api, photo):
        result = run("submit", photo, "--detach")

        assert result.stdout == "job1\n"
        assert api.methods() == ["POST"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["submit"], "Missing argument"),
            (["submit", "a.jpg", "b.jpg", "-o", "one.glb"], "name a folder"),
            (["submit", "a.jpg", "--option", "seed"], "name=value"),
            (["submit", "a.jpg", "b.jpg", "--idempotency-key", "k"], "one photo"),
            (["submit", "-", "-"], "stdin"),
            (["pool", "--url", "localhost"], "http"),
            (["submit", "nowhere.jpg"], "nowhere.jpg"),
        ],
    )
    def test_says_what_is_wrong_with_the_command_line(self, run, api, arguments, words):
        result = run(*arguments)

        assert result.exit_code == 2
        assert words in result.stderr
        assert api.requests == []


class TestExitCodes:
    def test_of_a_job_that_fails(self, run, api, photo):
        api.script = [RUNS, FAILS]

        result = run("submit", photo)

        assert result.exit_code == 1
        assert "There is nothing but background." in result.stderr

    def test_of_an_image_that_is_refused(self, run, api, photo):
        api.problem = (415, "image_unsupported_type", "The file is a GIF.", None)

        result = run("submit", photo, "--json")

        assert result.exit_code == 3
        assert json.loads(result.stdout)["error"]["code"] == "image_unsupported_type"
        assert "The file is a GIF." in result.stderr

    def test_of_a_server_that_is_not_there(self, run, photo):
        with serving(FakeJobApi()) as gone:
            pass

        result = run("submit", photo, "--url", gone.url)

        assert result.exit_code == 4
        assert "can't be reached" in result.stderr

    def test_of_a_time_that_is_up(self, run, api, photo):
        api.script = [RUNS]

        result = run("submit", photo, "--timeout", "0.1")

        assert result.exit_code == 5
        assert "coldforge wait job1" in result.stderr

    def test_of_a_job_that_is_cancelled(self, run, api, photo):
        api.script = [RUNS, {"state": "cancelled"}]

        assert run("submit", photo).exit_code == 6

    def test_are_in_the_help(self, run):
        for arguments in (["--help"], ["submit", "--help"], ["wait", "--help"]):
            assert "130  interrupted" in run(*arguments).stdout


class TestOtherCommands:
    @pytest.fixture(autouse=True)
    def _job(self, api, run, photo):
        """A job that runs."""
        api.script = [RUNS]
        run("submit", photo, "--detach")

    def test_status(self, run):
        assert "shape 40%, VM gpu-0 ready" in run("status", "job1").stdout
        assert json.loads(run("status", "job1", "--json").stdout)["stage"] == "shape"

    def test_status_of_nothing(self, run):
        result = run("status", "job9", "--json")

        assert result.exit_code == 3
        assert json.loads(result.stdout)["error"]["code"] == "not_found"

    def test_wait(self, run, api, tmp_path):
        api.jobs["job1"].steps = [RUNS, SUCCEEDS]

        result = run("wait", "job1", "-o", "later.glb")

        assert result.exit_code == 0, result.output
        assert (tmp_path / "here" / "later.glb").read_bytes() == MODEL

    def test_cancel(self, run):
        assert run("cancel", "job1").stdout == "job1 is cancelled\n"
        assert json.loads(run("cancel", "job1", "--json").stdout)["state"] == "cancelled"

    def test_jobs(self, run):
        assert "shape 40%" in run("jobs").stdout
        assert json.loads(run("jobs", "--json", "--state", "running").stdout)["id"] == "job1"

    def test_take_the_server_before_their_name_too(self, run, api):
        result = run("--url", api.url, "--key", "other", "--json", "status", "job1")

        assert json.loads(result.stdout)["id"] == "job1"
        assert api.requests[-1][2]["X-Functions-Key"] == "other"

    def test_pool(self, run):
        assert "gpu-0" in run("pool").stdout
        assert json.loads(run("pool", "--json").stdout)["totals"]["billed_seconds"] == 60


def start(api: FakeJobApi, *arguments: object, **options) -> subprocess.Popen:
    environ = {
        **os.environ,
        "COLDFORGE_URL": api.url,
        "PYTHONPATH": str(Path(coldforge.__file__).parents[1]),
        "TERM": "xterm",
        "COLUMNS": "120",
    }
    command = [sys.executable, "-m", "coldforge", *map(str, arguments)]
    return subprocess.Popen(command, env=environ, **options)


def wait_until(condition) -> None:
    """Wait for a condition with a deadline."""
    tick = threading.Event()
    for _ in range(DEADLINE_S * 50):
        if condition():
            return
        tick.wait(0.02)
    raise AssertionError("it did not come to pass")


class TestProcess:
    def test_makes_a_model(self, api, photo, tmp_path):
        with start(
            api, "submit", photo, "-o", tmp_path / "m.glb", "--json", stdout=subprocess.PIPE
        ) as process:
            stdout, _ = process.communicate(timeout=DEADLINE_S)

        assert process.returncode == 0
        assert json.loads(stdout)["files"] == {"model.glb": str(tmp_path / "m.glb")}
        assert (tmp_path / "m.glb").read_bytes() == MODEL

    @pytest.mark.parametrize("cancels", [False, True])
    def test_says_how_to_go_on_when_it_is_interrupted(self, api, photo, tmp_path, cancels):
        api.script = [WAITS]
        extra = ["--cancel-on-interrupt"] if cancels else []
        with start(
            api,
            "submit",
            photo,
            *extra,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            wait_until(lambda: "GET" in api.methods())
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=DEADLINE_S)

        assert process.returncode == 130
        assert stdout == ""
        assert ("DELETE" in api.methods()) is cancels
        if cancels:
            assert "job job1 is cancelled" in stderr
        else:
            assert "coldforge wait job1" in stderr
            assert "coldforge cancel job1" in stderr
        assert "Traceback" not in stderr

    def test_shows_a_live_line_in_a_terminal(self, api, photo, tmp_path):
        ours, theirs = pty.openpty()
        shown = bytearray()

        def read() -> None:
            # Linux answers EIO when the other end is closed, macOS an empty read.
            try:
                while piece := os.read(ours, 4096):
                    shown.extend(piece)
            except OSError:
                return

        reader = threading.Thread(target=read)
        with start(
            api, "submit", photo, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=theirs
        ) as process:
            os.close(theirs)
            reader.start()
            process.wait(timeout=DEADLINE_S)
        reader.join(DEADLINE_S)
        os.close(ours)

        assert process.returncode == 0
        text = shown.decode()
        assert "shape 40%" in text
        assert "\x1b[" in text
