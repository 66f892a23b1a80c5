import fcntl
import sys

import pytest

from scripts.installer import Installer, SetUpError, explain_failure


def explain(text):
    return explain_failure(text, program="pip", log=".local/set-up-pip.log", need_mb=900)


class TestExplainFailure:
    @pytest.mark.parametrize(
        ("log_text", "words"),
        [
            # pip, with its index down: the last line alone would blame the package.
            (
                "WARNING: Retrying after connection broken by 'NewConnectionError(...)'\n"
                "ERROR: No matching distribution found for aiohttp==3.14.5",
                "cannot be reached",
            ),
            ("npm error code EAI_AGAIN", "cannot be reached"),
            ("OSError: [Errno 28] No space left on device", "disk is full: free 900 MB"),
            ("npm error code ENOSPC", "disk is full"),
            (
                "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
                "the lock names",
            ),
            ("npm error code EINTEGRITY", "the lock names"),
            ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT"),
            (
                "ERROR: No matching distribution found for x==1 (from versions: none)",
                "which index",
            ),
            ("PermissionError: [Errno 13] Permission denied: '.venv'", "cannot be written"),
        ],
    )
    def test_names_the_cause_in_one_sentence(self, log_text, words):
        sentence = explain(log_text)

        assert words in sentence
        assert "\n" not in sentence

    def test_quotes_the_last_line_where_it_knows_no_cause(self):
        assert explain("one\nthe wheel is round\n\n") == (
            "pip failed (the wheel is round): the whole log is in .local/set-up-pip.log."
        )


@pytest.fixture(name="lock")
def _lock(tmp_path):
    """An open file that stands for the checkout's set-up lock."""
    with (tmp_path / "lock").open("w") as lock:
        yield lock


@pytest.fixture(name="installer")
def _installer(tmp_path, lock):
    """An installer that logs to the folder of the test."""
    return Installer(tmp_path, tmp_path, lock.fileno(), need_mb=900)


class TestInstaller:
    def test_keeps_what_a_program_prints(self, installer, tmp_path):
        installer.run("thing", [sys.executable, "-c", "print('here')"])

        assert (tmp_path / "set-up-thing.log").read_text() == "here\n"

    def test_explains_a_program_that_fails(self, installer):
        script = "import sys; print('npm error code ENOTFOUND'); sys.exit(1)"

        with pytest.raises(SetUpError, match=r"cannot be reached.*set-up-npm\.log"):
            installer.run("npm", [sys.executable, "-c", script])

    def test_runs_a_program_where_it_is_told_to_and_with_more_environment(
        self, installer, tmp_path
    ):
        (tmp_path / "there").mkdir()
        script = "import os; print(os.getcwd(), os.environ['WORD'])"

        installer.run(
            "thing", [sys.executable, "-c", script], folder=tmp_path / "there", WORD="yes"
        )

        assert (tmp_path / "set-up-thing.log").read_text() == f"{tmp_path / 'there'} yes\n"

    def test_lets_the_program_hold_the_lock_with_it(self, installer, lock, tmp_path):
        fcntl.flock(lock, fcntl.LOCK_EX)
        script = f"import os; os.fstat({lock.fileno()}); print('held')"

        installer.run("thing", [sys.executable, "-c", script])

        assert (tmp_path / "set-up-thing.log").read_text() == "held\n"
