import ast
import re

import pathspec

# Folders of whoever wrote a file. /home/site is where Azure Functions keeps an app.
MACHINE_PATH = re.compile(
    r"(?<![\w.*$}])/(?:work|root|Users|home/(?!site\b))/?\w|/opt/(?:wheels|pypi)"
)
# Spelled in two halves, or this file would name them itself.
REGISTRY_HOST = re.compile(
    "|".join(
        host.replace("+", r"\.")
        for host in ("pypi" + "+org", "pythonhosted" + "+org", "npmjs" + "+(?:org|com)")
    )
)
DEPLOYED = {"function_app.py", "host.json", "requirements.txt", "orchestrator", "studio"}


def texts(root, tracked):
    """Give path and content of every tracked file that is text."""
    for path in tracked:
        content = (root / path).read_bytes()
        if b"\0" not in content[:8000]:
            yield path, content.decode("utf-8")


class TestRepository:
    def test_names_no_machine_and_no_registry(self, root, tracked):
        found = [
            f"{path}:{number}: {line.strip()[:80]}"
            for path, text in texts(root, tracked)
            for number, line in enumerate(text.splitlines(), start=1)
            if path.name != "test_repository.py"
            if MACHINE_PATH.search(line) or REGISTRY_HOST.search(line)
        ]

        assert found == []

    def test_notices_a_machine_and_a_registry(self):
        assert MACHINE_PATH.search("cd /work/main")
        assert MACHINE_PATH.search('open("/root/x")')
        assert MACHINE_PATH.search("file:///opt/pypi/simple")
        assert not MACHINE_PATH.search("/home/site/wwwroot")
        assert not MACHINE_PATH.search("https://example.com/work/7")
        assert REGISTRY_HOST.search("https://registry.npmjs" + ".org/")

    def test_has_no_empty_module(self, root, tracked):
        empty = [
            str(path)
            for path in tracked
            if path.suffix == ".py" and not (root / path).read_text("utf-8").strip()
        ]

        assert empty == []


class TestRoot:
    def test_shows_a_stranger_about_two_dozen_names(self, tracked):
        assert len({path.parts[0] for path in tracked}) <= 26

    def test_holds_no_lock_but_the_one_that_azure_builds_the_app_from(self, tracked):
        names = {path.name for path in tracked if len(path.parts) == 1}

        assert {name for name in names if re.search(r"lock|requirements|package", name)} == {
            "requirements.txt"
        }


class TestSetUp:
    def test_parses_on_the_oldest_python_that_may_run_it(self, root, tracked):
        sources = [path for path in tracked if path.parts[0] == "scripts"]

        assert sources
        for path in sources:
            if path.suffix == ".py":
                ast.parse((root / path).read_text("utf-8"), feature_version=(3, 7))

    def test_needs_nothing_installed(self, root, tracked):
        import sys

        for path in tracked:
            if path.parts[0] != "scripts" or path.suffix != ".py":
                continue
            for node in ast.walk(ast.parse((root / path).read_text("utf-8"))):
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                for name in names:
                    assert name.split(".")[0] in {*sys.stdlib_module_names, "scripts"}, path


class TestDeployment:
    def test_holds_the_app_and_of_the_agent_only_the_wire(self, root, tracked):
        lines = (root / ".funcignore").read_text("utf-8").splitlines()
        ignored = pathspec.GitIgnoreSpec.from_lines(lines)

        left = {str(path) for path in tracked if not ignored.match_file(str(path))}

        agent = {"gpu_agent/__init__.py", "gpu_agent/wire.py"}
        assert agent <= left
        assert {path for path in left - agent if path.split("/")[0] not in DEPLOYED} == set()
        assert "requirements.txt" in left
