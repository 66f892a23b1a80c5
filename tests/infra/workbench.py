"""Runs Terraform on the modules of ``infra/terraform``, each at most once a session."""

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.terraform import ROOT, read_events, run_terraform

CONFIGURATION = ROOT / "infra" / "terraform"
REAL_PROVIDER = "INFRA_PROVIDER"
"""Set to ``real``, Terraform downloads azurerm instead of asking the one in here."""


def find_modules() -> list[str]:
    """Give every root and every module, by its path."""
    files = CONFIGURATION.rglob("terraform.tf")
    return sorted(str(file.parent.relative_to(CONFIGURATION)) for file in files)


def find_runs() -> list[tuple[str, str]]:
    """Give every run of every test file, as module and name."""
    return [
        (str(file.parents[1].relative_to(CONFIGURATION)), name)
        for file in sorted(CONFIGURATION.rglob("*.tftest.hcl"))
        for name in re.findall(r'(?m)^run "(\w+)"', file.read_text("utf-8"))
    ]


def uses_real_provider() -> bool:
    """Tell whether the operator asked for the real provider."""
    return os.environ.get(REAL_PROVIDER) == "real"


class Workbench:
    """Terraform with a provider, and a folder for what it keeps."""

    def __init__(self, environ: Mapping[str, str], data: Path) -> None:
        self._environ = environ
        self._data = data
        self.prepare = cache(self._prepare)
        self.run_tests = cache(self._run_tests)

    def unformatted(self) -> list[str]:
        """Name the files that ``terraform fmt`` would change."""
        return self._run(".", "fmt", "-check", "-recursive").stdout.split()

    def validate(self, module: str, *, folder: Path | None = None) -> list[str]:
        """Give what is wrong with a module, nothing if it is valid."""
        self._prepare(module, folder=folder) if folder else self.prepare(module)
        done = self._run(module, "validate", "-json", folder=folder)
        return [
            f"{one.get('range', {}).get('filename', module)}: {one['summary']}: {one['detail']}"
            for one in json.loads(done.stdout)["diagnostics"]
        ]

    def planned(self, module: str, run: str) -> list[dict[str, Any]]:
        """Give the resources that a run plans."""
        self.prepare(module)
        done = self._run(module, "test", "-json", "-verbose")
        plans = [event for event in read_events(done.stdout) if event["type"] == "test_plan"]
        plan = next(event["test_plan"] for event in plans if event["@testrun"] == run)
        resources: list[dict[str, Any]] = plan["resource_changes"]
        return resources

    def _prepare(self, module: str, *, folder: Path | None = None) -> None:
        done = self._run(module, "init", "-backend=false", folder=folder)
        if done.returncode:
            raise AssertionError(f"terraform init in {module}:\n{done.stdout}{done.stderr}")

    def _run_tests(self, module: str) -> dict[str, str]:
        """Run a module's tests.

        Returns:
            By name of the run, what is wrong; nothing if it passed.
        """
        self.prepare(module)
        events = read_events(self._run(module, "test", "-json").stdout)
        verdicts: dict[str, str] = {}
        complaints: dict[str, list[str]] = {}
        for event in events:
            run = event.get("@testrun", "")
            if event["type"] == "diagnostic":
                found = event["diagnostic"]
                complaints.setdefault(run, []).append(f"{found['summary']}: {found['detail']}")
            if event["type"] == "test_run" and event["test_run"].get("progress") == "complete":
                verdicts[run] = event["test_run"]["status"]
        # What is wrong with the files themselves belongs to no run, and none is run.
        outside = complaints.get("", [])
        return {
            run: ""
            if verdicts.get(run) == "pass"
            else "\n".join([verdicts.get(run, "not run"), *complaints.get(run, []), *outside])
            for of, run in find_runs()
            if of == module
        }

    def _run(self, module: str, *arguments: str, folder: Path | None = None) -> Any:
        data = self._data / module.replace("/", "-")
        return run_terraform(
            arguments, folder=folder or CONFIGURATION / module, environ=self._environ, data=data
        )
