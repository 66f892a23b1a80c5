"""``make up`` and ``make demo`` as processes: with Core Tools, and when something fails."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from azure.storage.blob import BlobServiceClient

from localcloud.blueprint import ROOT
from localcloud.ports import choose_free_ports

pytestmark = pytest.mark.stack

LIMIT_S = 120

# Core Tools as far as it is asked here: says how it was called, then answers as an app would.
FUNC = f"""#!{sys.executable}
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

called = {{"arguments": sys.argv[1:], "environ": dict(os.environ), "cwd": os.getcwd()}}
with open(os.environ["FUNC_DIARY"], "w") as diary:
    json.dump(called, diary)
port = int(sys.argv[sys.argv.index("--port") + 1])
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture(name="run")
def _run():
    """Return a function that starts a program of the local cloud; it ends with the test."""
    begun = []

    def run(program, *arguments, **environ):
        process = subprocess.Popen(
            [sys.executable, "-m", f"localcloud.{program}", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "COLUMNS": "200", **environ},
        )
        begun.append(process)
        return process

    yield run
    for process in begun:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT_S)


def read_until(process, text):
    """Read lines until one holds a text; give what was read."""
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return "".join(seen)
    raise AssertionError("".join(seen))


def install_func(folder: Path, script: str) -> dict[str, str]:
    """Put a `func` on a PATH of its own; give the environment for it."""
    folder.mkdir()
    func = folder / "func"
    func.write_text(script)
    func.chmod(0o755)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "FUNC_DIARY": str(folder / "called.json"),
    }


class TestUpWithCoreTools:
    def test_gives_func_the_settings_of_the_app_as_its_environment(self, run, tmp_path):
        environ = install_func(tmp_path / "bin", FUNC)
        (port,) = choose_free_ports(1)
        up = run(
            "up", "--host", "func", "--port", str(port), "--data", str(tmp_path / "up"), **environ
        )

        said = read_until(up, "logs")

        called = json.loads(Path(environ["FUNC_DIARY"]).read_text())
        told = called["environ"]
        assert "do not prove this way" in said
        assert called["arguments"] == ["start", "--port", str(port)]
        assert Path(called["cwd"]) == ROOT
        assert told["FUNCTIONS_WORKER_RUNTIME"] == "python"
        assert told["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
        assert json.loads(told["GPU_VMS"])[0]["name"] == "gpu-0"
        assert told["STORAGE_ACCESS"] == "private"
        assert told["IDENTITY_ENDPOINT"].endswith("/msi/token")
        # The connection string that Durable would live on is one that Azurite takes.
        with BlobServiceClient.from_connection_string(
            told["AzureWebJobsStorage"], connection_verify=told["REQUESTS_CA_BUNDLE"]
        ) as blobs:
            assert "pool" in [container.name for container in blobs.list_containers()]
        up.send_signal(signal.SIGINT)
        rest, _ = up.communicate(timeout=LIMIT_S)
        assert up.returncode == 130, rest

    def test_says_what_to_install_where_func_is_absent(self, run, tmp_path):
        up = run("up", "--host", "func", "--data", str(tmp_path / "up"), PATH=str(tmp_path))

        text, _ = up.communicate(timeout=LIMIT_S)

        assert up.returncode == 1
        assert "no 'func' on the PATH" in text
        assert "azure-functions-core-tools" in text
        assert "Traceback" not in text

    def test_shows_the_last_lines_of_a_func_that_fails(self, run, tmp_path):
        script = "#!/bin/sh\necho 'Value cannot be null. (Parameter provider)'\nexit 3\n"
        environ = install_func(tmp_path / "bin", script)
        (port,) = choose_free_ports(1)
        up = run(
            "up", "--host", "func", "--port", str(port), "--data", str(tmp_path / "up"), **environ
        )

        text, _ = up.communicate(timeout=LIMIT_S)

        assert up.returncode == 1
        assert "functions_host ended with exit code 3" in text
        assert "Value cannot be null." in text
        assert "Traceback" not in text


class TestMakefile:
    def test_hands_host_and_port_on(self):
        told = subprocess.run(
            ["make", "--dry-run", "up", "HOST=func", "PORT=7099"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

        assert '-m localcloud.up --port "7099" --host "func"' in told

    def test_takes_no_host_from_the_environment(self):
        """Some shells export HOST, the name of the machine."""
        told = subprocess.run(
            ["make", "--dry-run", "up"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "HOST": "my-laptop"},
        ).stdout

        assert "my-laptop" not in told


NAMES = (
    "two words.jpg",
    "it's.jpg",
    'say "x".jpg',
    "$HOME $$ $(shell touch made).jpg",
    "`touch made`;touch made&.jpg",
    "写真 é.jpg",
    "-x.jpg",
    "a\\b#c%*?[d].jpg",
)


class TestMakefileAndNames:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("from_environ", [False, True])
    def test_hands_the_name_of_a_file_on_as_it_is(self, tmp_path, name, from_environ):
        told = tmp_path / ".venv" / "bin" / "python"
        told.parent.mkdir(parents=True)
        told.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
        told.chmod(0o755)
        given = {"IMAGE": name, "WEIGHTS": name, "ARRIVALS": name}
        command = ["make", "-s", "-f", str(ROOT / "Makefile"), "NEED_PYTHON=:", "SET_UP=:"]
        if not from_environ:
            command += [f"{variable}={value}" for variable, value in given.items()]

        said = {
            target: subprocess.run(
                [*command, target],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, **(given if from_environ else {})},
            ).stdout
            for target in ("demo", "rehearse")
        }

        demo, rehearse = json.loads(said["demo"]), json.loads(said["rehearse"].splitlines()[-1])
        assert demo[2] == f"--image={name}"
        # In the environment `WEIGHTS` may be there for another program.
        assert demo[3:] == [f"--weights={name}"]
        assert f"--arrivals={name}" in rehearse
        assert list(tmp_path.iterdir()) == [tmp_path / ".venv"]


class TestUp:
    def test_says_what_a_power_cut_tore_and_what_to_do(self, run, tmp_path):
        torn = tmp_path / "up" / "storage" / "__azurite_db_blob__.json"
        torn.parent.mkdir(parents=True)
        torn.write_text('{"filename": "__azurite_db_bl')
        (port,) = choose_free_ports(1)
        up = run("up", "--port", str(port), "--data", str(tmp_path / "up"))

        text, _ = up.communicate(timeout=LIMIT_S)

        assert up.returncode == 1
        assert "up: storage/__azurite_db_blob__.json in " in text
        assert "is torn" in text
        assert f"mv {tmp_path}/up {tmp_path}/up-torn" in text
        assert "Traceback" not in text

    def test_says_that_its_port_is_taken(self, run, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            up = run("up", "--port", str(port), "--data", str(tmp_path / "up"))
            text, _ = up.communicate(timeout=LIMIT_S)

        assert up.returncode == 1
        assert f"port {port} is taken" in text
        assert f"PORT={port + 1}" in text

    def test_names_the_part_that_ended_and_shows_its_log(self, run, tmp_path):
        (port,) = choose_free_ports(1)
        up = run("up", "--port", str(port), "--data", str(tmp_path / "up"))
        read_until(up, "logs")

        child(up, "localcloud.arm").kill()

        text, _ = up.communicate(timeout=LIMIT_S)
        assert up.returncode == 1
        assert "arm ended with exit code -9" in text
        assert "listening on port" in text
        assert "Traceback" not in text


class TestDemo:
    def test_names_the_part_that_ended_and_shows_its_log(self, run):
        demo = run("demo", "--boot-s", "600")
        read_until(demo, "VM gpu-0 starting")
        killed_at = time.monotonic()

        child(demo, "localcloud.functions_host").kill()

        text, _ = demo.communicate(timeout=LIMIT_S)
        assert demo.returncode == 1
        assert "demo: functions_host ended with exit code -9" in text
        assert "its log" in text
        assert "Traceback" not in text
        assert time.monotonic() - killed_at < 60
        assert (ROOT / "out" / "logs" / "functions_host.log").is_file()

    def test_gives_no_log_for_a_photo_that_is_none(self, run, tmp_path):
        (tmp_path / "notes.txt").write_text("no photo")
        demo = run("demo", "--image", str(tmp_path / "notes.txt"))

        text, _ = demo.communicate(timeout=LIMIT_S)

        assert demo.returncode == 1
        assert "demo: " in text
        assert "ends:" not in text


def child(process, module) -> psutil.Process:
    """Find the child of a program that runs a module."""
    children = psutil.Process(process.pid).children()
    return next(found for found in children if module in found.cmdline())
