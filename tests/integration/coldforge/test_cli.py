"""The command, in this process and as one of its own."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

import coldforge
from coldforge import Client, server_options
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

    def test_overwrites_nothing_and_sends_nothing_instead(self, run, api, photo, tmp_path):
        for name in ("chair.glb", "ball.jpg", "chair.png"):
            (tmp_path / "here" / name).write_text("mine")

        for options in (
            [],
            ["-o", "chair.glb"],
            ["-o", "ball.jpg"],
            ["-o", "new.glb", "--preview", "."],
        ):
            result = run("submit", photo, *options, "--json")

            assert result.exit_code == 2
            assert "exists already" in json.loads(result.stdout)["error"]["message"]
            assert "--force" in result.stderr
        assert api.requests == []
        assert {path.name for path in (tmp_path / "here").iterdir()} == {
            "ball.jpg",
            "chair.glb",
            "chair.png",
        }
        assert (tmp_path / "here" / "chair.glb").read_text() == "mine"

    def test_overwrites_with_force(self, run, photo, tmp_path):
        model = tmp_path / "here" / "chair.glb"
        model.write_text("mine")

        assert run("submit", photo, "--force").exit_code == 0
        assert model.read_bytes() == MODEL

    def test_overwrites_the_photo_itself_not_even_with_force(self, run, api, photo):
        result = run("submit", photo, "-o", photo, "--force")

        assert result.exit_code == 2
        assert "the photo itself" in result.stderr
        assert api.requests == []

    def test_overwrites_no_file_that_came_meanwhile(self, run, api, photo, tmp_path):
        model = tmp_path / "here" / "chair.glb"
        api.before_download = lambda: model.write_text("mine")

        result = run("submit", photo)

        assert result.exit_code == 2
        assert model.read_text() == "mine"
        assert "coldforge wait job1 -o job1.glb" in result.stderr

    def test_needs_no_new_file_to_leave_at_once(self, run, photo, tmp_path):
        (tmp_path / "here" / "chair.glb").write_text("mine")

        assert run("submit", photo, "--detach").stdout == "job1\n"

    def test_writes_the_model_to_stdout(self, run, photo, tmp_path):
        result = run("submit", photo, "-o", "-", "--preview", "p.png")

        assert result.exit_code == 0, result.stderr
        assert result.stdout_bytes == MODEL
        assert "chair.jpg: stdout, p.png (24,312 faces" in result.stderr
        assert [path.name for path in (tmp_path / "here").iterdir()] == ["p.png"]

    @pytest.mark.parametrize(
        "arguments",
        [
            ["a.jpg", "b.jpg", "-o", "-"],
            ["a.jpg", "-o", "-", "--json"],
            ["a.jpg", "-o", "-", "--preview", "-"],
        ],
    )
    def test_writes_one_thing_to_stdout(self, run, api, arguments):
        result = run("submit", *arguments)

        assert result.exit_code == 2
        assert "stdout can take only one" in result.stderr
        assert api.requests == []

    @pytest.mark.parametrize("name", ["x" * 251 + ".jpg", "字" * 80 + ".jpg"])
    def test_saves_under_the_longest_name_that_there_can_be(self, run, tmp_path, name):
        (tmp_path / name).write_bytes(b"\xff\xd8")

        result = run("submit", tmp_path / name)

        assert result.exit_code == 0, result.stderr
        assert (tmp_path / "here" / name).with_suffix(".glb").read_bytes() == MODEL

    @pytest.mark.parametrize(
        "options",
        [
            ["http://a.example/" + "x" * 300 + ".jpg"],
            ["a.jpg", "-o", "字" * 90 + ".glb"],
            ["a.jpg", "--preview", "x" * 300],
            ["a.jpg", "-o", "/proc/a.glb"],
            ["a.jpg", "-o", "/dev/null/a.glb"],
            ["http://a.example/%00.jpg"],
        ],
    )
    def test_finds_what_takes_no_file_before_anything_is_sent(self, run, api, options):
        result = run("submit", *options)

        assert result.exit_code == 2, result.stderr
        assert "Traceback" not in result.stderr
        assert api.requests == []

    @pytest.mark.parametrize("form", [[], ["--json"], ["--detach"]])
    def test_takes_a_name_that_is_not_utf8_and_holds_none_up(self, api, tmp_path, form):
        names = [b"a.jpg", b"b\xff\n\x1b[31m.jpg", b"c.jpg"]
        for name in names:
            (tmp_path / os.fsdecode(name)).write_bytes(b"\xff\xd8")
        api.script = [SUCCEEDS]

        with start(
            api,
            "submit",
            *names,
            *form,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            stdout, stderr = process.communicate(timeout=DEADLINE_S)

        assert process.returncode == 0, stderr
        assert b"\x1b" not in stdout + stderr
        assert len(stdout.splitlines()) == 3
        assert api.jobs["job2"].asked["file_name"] == "b\ufffd\ufffd\ufffd[31m.jpg"
        if not form:
            assert (tmp_path / os.fsdecode(names[1])).with_suffix(".glb").read_bytes() == MODEL
        if form == ["--json"]:
            files = json.loads(stdout.splitlines()[1])["files"]
            assert os.fsencode(files["model.glb"]) == names[1].replace(b".jpg", b".glb")

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
    def test_prints_any_name_in_any_encoding(self, api, tmp_path, encoding, monkeypatch):
        monkeypatch.setenv("PYTHONIOENCODING", encoding)
        (tmp_path / "стул🪑.jpg").write_bytes(b"\xff\xd8")
        api.script = [SUCCEEDS]

        for form in ([], ["--json", "--force"]):
            with start(
                api, "submit", "стул🪑.jpg", *form, cwd=tmp_path, stdout=subprocess.PIPE
            ) as process:
                stdout, _ = process.communicate(timeout=DEADLINE_S)

            assert process.returncode == 0
            assert stdout
        assert json.loads(stdout)["files"] == {"model.glb": "стул🪑.glb"}

    def test_tells_of_each_photo_whatever_goes_wrong_with_one(self, run, api, photo, monkeypatch):
        """An exception that nobody thought of."""
        submit = Client.submit
        calls = []

        def fail_once(self, image, **asked):
            calls.append(image)
            if len(calls) == 2:
                raise RuntimeError("secret")
            return submit(self, image, **asked)

        monkeypatch.setattr(Client, "submit", fail_once)

        result = run("submit", photo, photo, photo, "--json")

        first, second, third = map(json.loads, result.stdout.splitlines())
        assert result.exit_code == 70
        assert (first["id"], second["error"]["code"], third["id"]) == (
            "job1",
            "client_fault",
            "job2",
        )
        assert "RuntimeError" in result.stderr
        assert "secret" not in result.output
        assert "--idempotency-key" in result.stderr

    def test_tells_how_to_fetch_what_could_not_be_saved(self, run, api, photo, tmp_path):
        def remove() -> None:
            shutil.rmtree(tmp_path / "here" / "models", ignore_errors=True)

        api.before_download = remove

        result = run("submit", photo, "-o", "models", "--preview", "p.png")

        assert result.exit_code == 2
        assert "fetch it:  coldforge wait job1 -o job1.glb\n" in result.stderr
        assert (tmp_path / "here" / "p.png").read_bytes() == PREVIEW

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

    def test_cancel_of_several_holds_none_up(self, run, api):
        result = run("cancel", "job9", "job1", "--json")

        first, second = map(json.loads, result.stdout.splitlines())
        assert result.exit_code == 3
        assert (first["error"]["code"], second["state"]) == ("not_found", "cancelled")

    @pytest.mark.parametrize("job_id", ["", ".", "..", "\udcff", "a/b", "字" * 99])
    def test_take_any_id(self, run, job_id):
        for command in ("status", "wait", "cancel"):
            result = run(command, job_id)

            assert result.exit_code == 3, result.stderr

    def test_wait_overwrites_nothing(self, run, api, tmp_path):
        (tmp_path / "here" / "later.glb").write_text("mine")
        api.requests.clear()

        result = run("wait", "job1", "-o", "later.glb")

        assert result.exit_code == 2
        assert api.requests == []

    def test_jobs(self, run):
        assert "shape 40%" in run("jobs").stdout
        assert json.loads(run("jobs", "--json", "--state", "running").stdout)["id"] == "job1"

    def test_take_the_server_before_their_name_too(self, run, api):
        result = run("--url", api.url, "--key", "other", "--json", "status", "job1")

        assert json.loads(result.stdout)["id"] == "job1"
        assert api.requests[-1][2]["X-Functions-Key"] == "other"

    def test_take_no_token_for_no_server_reads_one(self, run, api):
        api.requests.clear()

        result = run("pool", "--token", "t")

        assert result.exit_code == 2
        assert "No such option" in result.stderr
        assert api.requests == []

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
    given = [each if isinstance(each, bytes) else str(each) for each in arguments]
    command = [sys.executable, "-m", "coldforge", *given]
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

    def test_says_how_to_fetch_what_a_closed_pipe_did_not_take(self, api, photo, tmp_path):
        api.script = [SUCCEEDS]
        api.artifacts["model.glb"] = bytes(1_000_000)
        with start(
            api,
            "submit",
            photo,
            *("-o", "-"),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            process.stdout.close()
            stderr = process.stderr.read()

        assert process.returncode == 2
        assert "coldforge wait job1 -o job1.glb" in stderr
        assert "Exception ignored" not in stderr

    def test_exempts_this_machine_for_the_libraries_too(self, monkeypatch):
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("no_proxy", "elsewhere.example")
        code = (
            "import atexit, os; from coldforge.cli import main; "
            "atexit.register(lambda: print(os.environ['no_proxy'], os.environ['NO_PROXY'])); "
            "main()"
        )

        done = subprocess.run(
            [sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True
        )

        hosts = "elsewhere.example,127.0.0.1,localhost,::1"
        assert done.stdout.splitlines()[-1] == f"{hosts} {hosts}"

    def test_asks_this_machine_past_any_proxy(self, api, photo, tmp_path, monkeypatch):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
            monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("no_proxy", "elsewhere.example")

        with start(api, "submit", photo, cwd=tmp_path, stdout=subprocess.PIPE) as process:
            process.communicate(timeout=DEADLINE_S)

        assert process.returncode == 0

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
