"""The mutants can be planted: `make mutants` finds out whether they are caught."""

import ast

import pytest

from tests.infra.workbench import find_runs
from tests.mutants.table import ROOT, read_mutants

MUTANTS = read_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
class TestMutants:
    def test_stand_in_the_source_and_leave_python_python(self, mutant):
        source = (ROOT / mutant.file).read_text("utf-8")

        planted = mutant.plant(source)

        assert planted != source
        if mutant.file.endswith(".py"):
            ast.parse(planted)

    def test_name_a_test_that_is_there(self, mutant):
        path, class_name, name = mutant.test.split("::")

        source = (ROOT / path).read_text("utf-8")

        assert f"class {class_name}:" in source
        assert f"def {name.partition('[')[0]}(" in source


class TestTerraformMutants:
    def test_name_runs_that_are_there(self):
        runs = {f"{module} {run}" for module, run in find_runs()}
        named = {
            mutant.test.partition("[")[2].removesuffix("]")
            for mutant in MUTANTS
            if "::TestRuns::" in mutant.test
        }

        assert named
        assert named <= runs
