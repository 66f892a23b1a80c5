import json
import subprocess
import sys

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

    def test_says_which_extra_it_needs(self, tmp_path):
        path = tmp_path / "deployment.json"
        path.write_text(
            json.dumps(
                {
                    "subscription_id": "s",
                    "app_id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/a",
                    "app_url": "https://a.invalid",
                    "storage_account_id": "x",
                }
            )
        )
        program = (
            "import sys; sys.modules['azure'] = None; from coldforge.cli import cli; "
            f"cli(['doctor', '--deployment', {str(path)!r}])"
        )

        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )

        assert done.returncode == 2
        assert "pip install '.[doctor]'" in done.stderr
