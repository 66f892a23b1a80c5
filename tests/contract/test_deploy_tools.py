"""`Tools`: the fake and the real programs keep one contract."""

import pytest

from infra.deploy.errors import ToolFailedError, ToolMissingError
from infra.deploy.tools import ShellTools
from tests.fakes.tools import FakeTools

HELLO = ["python", "-c", "print('hello')"]
FAIL = ["python", "-c", "import sys; sys.exit('told so')"]
QUIET = ["python", "-c", "pass"]


@pytest.fixture(params=["fake", "real"], name="tools")
def _tools(request, tmp_path):
    """Tools, once made up and once real."""
    if request.param == "real":
        return ShellTools(tmp_path)
    return FakeTools(
        {
            " ".join(HELLO): "hello\n",
            " ".join(FAIL): ToolFailedError("python -c ended with 1\ntold so"),
        },
        missing=["no-such-program"],
    )


class TestTools:
    def test_give_what_a_program_prints(self, tools):
        assert tools.read(HELLO) == "hello\n"

    def test_say_how_a_program_ended(self, tools):
        with pytest.raises(ToolFailedError, match=r"python -c ended with 1\ntold so"):
            tools.read(FAIL)
        with pytest.raises(ToolFailedError, match="ended with 1"):
            tools.show(FAIL)

    def test_say_what_is_missing(self, tools):
        with pytest.raises(ToolMissingError, match="no-such-program is not installed"):
            tools.read(["no-such-program", "now"])

    def test_show_a_program_that_ends_well(self, tools):
        tools.show(QUIET)


class TestShellTools:
    def test_say_where_to_get_what_is_missing(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(ToolMissingError, match="install-azure-cli"):
            ShellTools(tmp_path).read(["az", "account", "show"])
