"""Real Terraform over the whole configuration: format, validation, and every run of its tests."""

import pytest

from tests.infra.workbench import find_modules, find_runs

MODULES = find_modules()
RUNS = find_runs()


class TestConfiguration:
    def test_is_formatted(self, terraform):
        assert terraform.unformatted() == []

    @pytest.mark.parametrize("module", MODULES)
    def test_is_valid(self, terraform, module):
        assert terraform.validate(module) == []

    def test_has_tests_for_every_module_and_environment(self):
        assert {module for module, _ in RUNS} == set(MODULES)


class TestRuns:
    @pytest.mark.parametrize(
        ("module", "run"), RUNS, ids=[f"{module} {run}" for module, run in RUNS]
    )
    def test_pass(self, terraform, module, run):
        assert terraform.run_tests(module)[run] == ""
