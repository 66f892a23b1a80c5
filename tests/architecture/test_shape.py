"""What keeps the code readable and can be counted: `make arch` runs this."""

import ast
from graphlib import TopologicalSorter

import grimp
import pytest

PACKAGES = (
    "orchestrator",
    "gpu_agent",
    "coldforge",
    "localcloud",
    "infra",
    "benchmarks",
    "scripts",
)
FOLDERS = (*PACKAGES, "tests", "vm_image")
LONGEST = 50
"""Lines of a function, from its `def` to its end."""

STILL_LONGER = {
    "benchmarks/agent/crowd.py: run_round",
    "coldforge/cli.py: submit",
    "coldforge/client.py: submit",
    "gpu_agent/engines/hunyuan3d/output_checks.py: check_model",
    "gpu_agent/engines/preview/engine.py: generate",
    "gpu_agent/engines/rendering.py: rasterise",
    "gpu_agent/http/metrics.py: __init__",
    "gpu_agent/http/routes.py: build_routes",
    "gpu_agent/service.py: __init__",
    "gpu_agent/work/pipeline.py: make_model",
    "localcloud/arm/estate_routes.py: __init__",
    "localcloud/functions_host/server.py: __init__",
    "localcloud/rehearsal/run.py: __init__",
    "localcloud/stack.py: __init__",
    "orchestrator/intake/url_rules.py: parse",
    "orchestrator/workflows/run_job.py: _follow",
    "tests/fakes/job_api.py: create_app",
}
"""To be made shorter. None may be added."""


def long_functions(source: str) -> list[str]:
    """Name the functions of a module that have more than `LONGEST` lines."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST
    ]


def circle_in(imports: dict[str, set[str]]) -> list[str]:
    """Give the modules of an import circle, or nothing if there is none."""
    sorter = TopologicalSorter(imports)
    try:
        sorter.prepare()
    except ValueError as error:
        return list(error.args[1])
    return []


class TestFunctions:
    def test_have_fifty_lines_at_most(self, root):
        long = {
            f"{path.relative_to(root).as_posix()}: {name}"
            for folder in FOLDERS
            for path in (root / folder).rglob("*.py")
            if "node_modules" not in path.parts
            for name in long_functions(path.read_text("utf-8"))
        }

        assert long == STILL_LONGER

    @pytest.mark.parametrize(("lines", "found"), [(LONGEST, []), (LONGEST + 1, ["f"])])
    def test_are_counted_from_def_to_end(self, lines, found):
        body = "\n".join(["    pass"] * (lines - 1))

        assert long_functions(f"def f():\n{body}\n") == found


class TestImports:
    def test_form_no_circle(self):
        graph = grimp.build_graph(*PACKAGES, cache_dir=None)

        imports = {
            module: graph.find_modules_directly_imported_by(module) for module in graph.modules
        }

        assert imports
        assert circle_in(imports) == []

    def test_that_form_one_are_found(self):
        assert set(circle_in({"a": {"b"}, "b": {"a"}})) == {"a", "b"}
