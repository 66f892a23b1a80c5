import sys

import pytest

from scripts.installer import SetUpError
from scripts.interpreter import Interpreter, choose_interpreter, probe_interpreter

TOO_NEW = Interpreter("/usr/bin/python3.13", (3, 13), True)
BARE = Interpreter("/usr/bin/python3.11", (3, 11), False)
GOOD = Interpreter("/usr/local/bin/python3.12", (3, 12), True)


def choose(**machine):
    return choose_interpreter(["python3", "python3.12", "python3.11"], probe=machine.get)


class TestChooseInterpreter:
    def test_takes_the_first_that_is_supported_and_complete(self):
        machine = {"python3": TOO_NEW, "python3.11": GOOD}

        assert choose(**machine) == GOOD

    def test_prefers_a_complete_one_to_one_without_venv(self):
        assert choose(**{"python3": BARE, "python3.12": GOOD}) == GOOD

    def test_says_which_package_brings_venv(self):
        with pytest.raises(SetUpError, match=r"apt-get install python3\.11-venv"):
            choose(**{"python3": TOO_NEW, "python3.11": BARE})

    def test_says_what_it_found_instead(self):
        with pytest.raises(SetUpError, match=r"3\.11 or 3\.12.*Python 3\.13.*PYTHON="):
            choose(python3=TOO_NEW)

    def test_says_that_it_found_none(self):
        with pytest.raises(SetUpError, match="found none"):
            choose()


class TestProbeInterpreter:
    def test_describes_a_python(self):
        found = probe_interpreter(sys.executable)

        assert found is not None
        assert found.version == sys.version_info[:2]
        assert found.has_venv

    def test_looks_past_the_environment_that_it_runs_in(self):
        found = probe_interpreter(sys.executable)

        assert found is not None
        assert not found.path.startswith(sys.prefix + "/") or sys.prefix == sys.base_prefix

    def test_gives_none_for_a_command_that_is_absent(self):
        assert probe_interpreter("python-that-nobody-has") is None

    def test_gives_none_for_a_shim_that_only_complains(self, tmp_path):
        shim = tmp_path / "python3.12"
        shim.write_text("#!/bin/sh\necho 'python3.12: not switched on' >&2\nexit 127\n")
        shim.chmod(0o755)

        assert probe_interpreter(str(shim)) is None
