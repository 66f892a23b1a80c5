"""`python -m infra.deploy` as a process, with programs that stand for az and terraform."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.infra.test_guards import STRANGER, destroy_plan
from tests.unit.infra.test_steps import OUTPUTS

ROOT = Path(__file__).parents[3]
PROGRAM = f"""#!{sys.executable}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
line = " ".join([pathlib.Path(__file__).name, *(a for a in sys.argv[1:] if "chdir" not in a)])
with (here / "ran").open("a") as diary:
    diary.write(line + "\\n")
for beginning, answer in json.loads((here / "answers.json").read_text()).items():
    if line.startswith(beginning):
        print(answer)
"""


@pytest.fixture(name="run")
def _run(tmp_path):
    """Runs a target; gives how it ended and what it ran."""

    def run(*arguments, answers=None, programs=("az", "terraform")):
        (tmp_path / "answers.json").write_text(json.dumps(answers or {}))
        for program in programs:
            (tmp_path / program).write_text(PROGRAM)
            (tmp_path / program).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-m", "infra.deploy", *arguments],
            cwd=ROOT,
            env={**os.environ, "PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        diary = tmp_path / "ran"
        return done, diary.read_text().splitlines() if diary.exists() else []

    return run


class TestCommand:
    def test_refuses_to_destroy_and_says_all_that_stands_against_it(self, run):
        done, ran = run(
            *("destroy", "--env", "dev"),
            answers={
                "terraform show": json.dumps(destroy_plan()),
                "terraform output": json.dumps(OUTPUTS),
                "az resource list": json.dumps([{"id": STRANGER.id, "type": STRANGER.type}]),
            },
        )

        assert done.returncode == 1
        assert done.stderr.startswith("destroy: ")
        assert STRANGER.id in done.stderr
        assert "does not say whether jobs run" in done.stderr
        assert "CONFIRM=dev" in done.stderr
        assert not any(line.startswith("terraform apply") for line in ran)

    def test_plans_with_terraform_and_applies_nothing(self, run):
        done, ran = run(
            *("plan", "--env", "dev"),
            answers={"terraform show": json.dumps({"resource_changes": []})},
        )

        assert done.returncode == 0, done.stderr
        assert "make apply ENV=dev" in done.stdout
        assert [line.split()[1] for line in ran] == ["init", "plan", "show"]

    def test_says_which_program_is_missing_and_where_to_get_it(self, run):
        done, _ = run("plan", "--env", "dev", programs=())

        assert done.returncode == 1
        assert "terraform is not installed: 1.11 or later, see " in done.stderr

    def test_says_which_environments_there_are(self, run):
        done, _ = run("deploy")

        assert done.returncode == 1
        assert "ENV=dev or ENV=prod" in done.stderr

    def test_prints_the_prices_without_any_program(self, run):
        done, ran = run("prices", "--env", "prod", programs=())

        assert done.returncode == 0, done.stderr
        assert "1,000 jobs more" in done.stdout
        assert ran == []
