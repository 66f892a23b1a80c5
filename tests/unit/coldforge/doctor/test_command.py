import json

import pytest
from click.testing import CliRunner

from coldforge.cli import cli


class TestDoctorCommand:
    def test_wants_to_know_which_deployment(self, monkeypatch):
        monkeypatch.delenv("COLDFORGE_DEPLOYMENT", raising=False)

        result = CliRunner().invoke(cli, ["doctor"])

        assert result.exit_code == 2
        assert "--deployment FILE" in result.stderr

    @pytest.mark.parametrize("text", ["nonsense", json.dumps({"app_url": "x"})])
    def test_says_what_is_wrong_with_its_file(self, tmp_path, text):
        path = tmp_path / "deployment.json"
        path.write_text(text)

        result = CliRunner().invoke(cli, ["doctor", "--deployment", str(path)])

        assert result.exit_code == 2
        assert str(path) in result.stderr

    def test_says_that_there_is_no_such_file(self, tmp_path):
        result = CliRunner().invoke(cli, ["doctor", "--deployment", str(tmp_path / "none")])

        assert result.exit_code == 2
