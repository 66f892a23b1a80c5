"""No key is ever printed, whatever is wrong with it and whatever goes wrong."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import coldforge
from coldforge import server_options
from coldforge.cli import cli
from tests.fakes.hostile_server import answer, redirect, running_hostile_server
from tests.fakes.job_api import SUCCEEDS

FRONT, BACK = "wq3Nh7TzVJk0", "p5YsLb8RxQe2"
MALFORMED = {
    "newline inside": f"{FRONT}\n{BACK}",
    "newline at the end": f"{FRONT}{BACK}\n",
    "newline at the front": f"\n{FRONT}{BACK}",
    "carriage return": f"{FRONT}\r{BACK}",
    "line end of Windows": f"{FRONT}{BACK}\r\n",
    "another header": f"{FRONT}\r\nX-Evil: {BACK}",
    "tab": f"{FRONT}\t{BACK}",
    "blank inside": f"{FRONT} {BACK}",
    "blanks around": f"  {FRONT}{BACK}  ",
    "no-break space": f"{FRONT}\u00a0{BACK}",
    "line separator": f"{FRONT}\u2028{BACK}",
    "NUL": f"{FRONT}\0{BACK}",
    "escape": f"{FRONT}\x1b[31m{BACK}",
    "DEL": f"{FRONT}\x7f{BACK}",
    "latin-1": f"{FRONT}é{BACK}",
    "not latin-1": f"{FRONT}ł{BACK}",
    "emoji": f"{FRONT}\U0001f511{BACK}",
    "not UTF-8": f"{FRONT}\udcff{BACK}",
    "byte order mark": f"\ufeff{FRONT}{BACK}",
    "soft hyphen": f"{FRONT}\u00ad{BACK}",
    "very long": f"{FRONT}{'x' * 100_000}{BACK}",
    "double quotes": f'"{FRONT}{BACK}"',
    "single quotes": f"'{FRONT}{BACK}'",
    "one quote": f"{FRONT}'{BACK}",
    "markup": f"[bold]{FRONT}[/]{BACK}",
    "percent signs": f"%s{FRONT}%(key)s{BACK}",
}
ARGUMENTS = {
    "cancel": ["job1", "job2"],
    "doctor": ["--timeout", "5"],
    "jobs": [],
    "pool": [],
    "status": ["job1"],
    "submit": ["chair.jpg", "--force"],
    "wait": ["job1", "-o", "job1.glb", "--force"],
}


@pytest.fixture(name="run")
def _run(api, tmp_path, monkeypatch):
    """Runs a command in a folder with a photo; doctor examines what does not answer."""
    api.script = [SUCCEEDS]
    monkeypatch.chdir(tmp_path)
    # Neither az nor azd of this machine is asked.
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(server_options, "OUTAGE_LIMIT_S", 0.0)
    Path("chair.jpg").write_bytes(b"\xff\xd8photo")
    Path("deployment.json").write_text(
        json.dumps(
            {
                "subscription_id": "s",
                "app_id": "/a",
                "app_url": api.url,
                "storage_account_id": "/s",
                "arm_url": "http://127.0.0.1:9",
            }
        )
    )

    def run(command, *options, url=None):
        environ = {"COLDFORGE_URL": url or api.url, "COLDFORGE_DEPLOYMENT": "deployment.json"}
        return CliRunner().invoke(cli, [command, *ARGUMENTS[command], *options], env=environ)

    return run


def check_nothing_is_told(result) -> None:
    """See that no part of the secret is in what was printed, nor in an error that got out."""
    for text in (result.stdout, result.stderr, repr(result.exception)):
        assert FRONT not in text
        assert BACK not in text
    assert isinstance(result.exception, SystemExit | None)
    assert result.exit_code != 70, result.stderr


class TestEveryCommand:
    def test_is_tried_here(self):
        assert set(ARGUMENTS) == set(cli.commands)
        assert len(MALFORMED) >= 20

    @pytest.mark.parametrize("name", MALFORMED)
    @pytest.mark.parametrize("command", sorted(ARGUMENTS))
    def test_prints_no_malformed_key(self, run, command, name):
        for form in ([], ["--json"]):
            result = run(command, "--key", MALFORMED[name], *form)

            check_nothing_is_told(result)

    @pytest.mark.parametrize("command", sorted(ARGUMENTS))
    def test_says_to_a_script_what_is_wrong_with_it(self, run, api, command):
        result = run(command, "--json", "--key", MALFORMED["newline inside"])

        assert result.exit_code == 2
        error = json.loads(result.stdout)["error"]
        assert error["code"] == "setting_invalid"
        assert "line break" in error["message"]
        assert api.requests == []

    @pytest.mark.parametrize(
        "url",
        [
            f"{FRONT}{BACK}",
            f"http://me:{FRONT}{BACK}@127.0.0.1:9",
            f"http://127.0.0.1:9/api?code={FRONT}{BACK}",
            f"http://127.0.0.1:{FRONT}{BACK}",
            f"http://127.0.0.1:9/{FRONT}\n{BACK}",
        ],
    )
    @pytest.mark.parametrize("command", sorted(ARGUMENTS))
    def test_prints_no_secret_that_stands_in_the_url(self, run, command, url):
        for form in ([], ["--json"]):
            result = run(command, *form, url=url)

            check_nothing_is_told(result)
            assert result.exit_code == 2

    def test_sends_a_key_from_a_file_without_the_newline_of_the_file(self, run, api):
        result = run("pool", "--key", MALFORMED["newline at the end"])

        assert result.exit_code == 0, result.stderr
        assert api.requests[-1][2]["X-Functions-Key"] == f"{FRONT}{BACK}"


BROKEN = {
    "refused": answer(b'{"detail": "Wrong key."}', status="401 Unauthorized"),
    "at fault": answer(b"<html>", status="500 Internal Server Error"),
    "not JSON": answer(b"\xff\xfe\x00"),
    "not ours": answer(b'{"hello": 1}'),
    "odd": answer(b'{"id": "job1", "state": [], "jobs": 7, "vms": 7, "artifacts": 7}'),
    "no gzip": answer(b"not gzip", headers=("Content-Encoding: gzip",)),
    "half gzip": answer(gzip.compress(b"{}" * 999)[:9], headers=("Content-Encoding: gzip",)),
    "a circle": redirect("?again"),
    "an address that is none": redirect("http://[oops"),
    "a port that is none": redirect("http://127.0.0.1:99999/"),
    "another scheme": redirect(f"ftp://127.0.0.1/?sig={FRONT}{BACK}"),
    "a label that is none": redirect(f"http://{'x' * 64}.example/?sig={FRONT}{BACK}"),
    "nobody": redirect(f"http://127.0.0.1:9/?sig={FRONT}{BACK}"),
    "too short": lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
    "no HTTP": lambda exchange: exchange.send(b"SSH-2.0-OpenSSH\r\n"),
    "bad chunks": answer(b"zz\r\n", headers=("Transfer-Encoding: chunked",)),
}


class TestEveryErrorPath:
    @pytest.mark.parametrize("how", BROKEN)
    @pytest.mark.parametrize("command", sorted(ARGUMENTS))
    def test_prints_no_key_and_no_signature(self, run, command, how):
        with running_hostile_server() as hostile:
            hostile.otherwise = BROKEN[how]
            for form in ([], ["--json"]):
                result = run(command, "--key", f"{FRONT}{BACK}", *form, url=hostile.origin)

                check_nothing_is_told(result)

    @pytest.mark.parametrize("command", sorted(ARGUMENTS))
    def test_prints_no_key_where_nobody_listens(self, run, command):
        for url in ("http://127.0.0.1:9", "https://127.0.0.1:9", f"http://{'x' * 64}.example"):
            check_nothing_is_told(run(command, "--key", f"{FRONT}{BACK}", "--json", url=url))

    @pytest.mark.parametrize(
        ("name", "form"), [("newline inside", []), ("not latin-1", ["--json"])]
    )
    @pytest.mark.usefixtures("run")
    def test_prints_no_secret_that_a_library_logs(self, tmp_path, name, form):
        """The SDK's credential warns of a header that it can't send, and repeats it."""
        environ = {
            "COLDFORGE_DEPLOYMENT": "deployment.json",
            "IDENTITY_ENDPOINT": "http://127.0.0.1:9/msi/token",
            "IDENTITY_HEADER": MALFORMED[name],
            "PATH": str(tmp_path),
            "PYTHONPATH": str(Path(coldforge.__file__).parents[1]),
            "PYTHONUTF8": "1",
        }
        done = subprocess.run(
            [sys.executable, "-m", "coldforge", "doctor", *form],
            cwd=tmp_path,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
        )

        assert "login.none" in done.stdout
        assert FRONT not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
