import zipfile
from pathlib import Path

from infra.deploy.package import choose_files, write_package

ROOT = Path(__file__).parents[3]


class TestChooseFiles:
    def test_leaves_out_what_funcignore_says_and_takes_the_wire_back_in(self):
        paths = [
            "function_app.py",
            "host.json",
            "requirements.txt",
            "requirements/dev.txt",
            "orchestrator/bootstrap.py",
            "gpu_agent/wire.py",
            "gpu_agent/__init__.py",
            "gpu_agent/jobs/job_service.py",
            "infra/terraform/main.tf",
            "tests/unit/x.py",
            "coldforge/cli.py",
            "localcloud/azurite/package.json",
            ".github/workflows/deploy.yml",
            "local.settings.json",
        ]

        chosen = choose_files(paths, (ROOT / ".funcignore").read_text("utf-8"))

        assert chosen == [
            "function_app.py",
            "gpu_agent/__init__.py",
            "gpu_agent/wire.py",
            "host.json",
            "orchestrator/bootstrap.py",
            "requirements.txt",
        ]


class TestWritePackage:
    def test_gives_the_same_package_for_the_same_files(self, tmp_path):
        (tmp_path / "b").mkdir()
        (tmp_path / "a.py").write_text("a")
        (tmp_path / "b" / "c.py").write_text("c")
        first, second = tmp_path / "first.zip", tmp_path / "out" / "second.zip"

        write_package(tmp_path, ["a.py", "b/c.py"], first)
        (tmp_path / "a.py").touch()
        write_package(tmp_path, ["a.py", "b/c.py"], second)

        assert first.read_bytes() == second.read_bytes()
        with zipfile.ZipFile(first) as package:
            assert package.namelist() == ["a.py", "b/c.py"]
            assert package.read("b/c.py") == b"c"
