"""``python -m infra.deploy TARGET``: what the Makefile's targets for Azure run."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.deploy import rotation, steps
from infra.deploy.environment import Environment, ask_pool
from infra.deploy.errors import DeployError
from infra.deploy.price_list import describe_prices
from infra.deploy.tools import ShellTools

ROOT = Path(__file__).parents[2]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one target; the answer is the exit status."""
    options = _parse(argv)
    try:
        environment = Environment(ROOT, options.env, ShellTools(ROOT), ask_pool)
        match options.target:
            case "plan":
                steps.plan(environment, _say, replaces=options.replace)
            case "apply":
                steps.apply(environment, _say)
            case "image":
                steps.image(environment, _say, version=options.version, root=ROOT)
            case "deploy":
                steps.deploy(environment, _say, root=ROOT)
            case "roles":
                steps.verify_roles(environment, _say)
            case "rotate":
                rotation.rotate(environment, _say)
            case "destroy":
                steps.destroy(environment, _say, confirmed=options.confirm)
            case "prices":
                _say(describe_prices(ROOT, environment.name))
            case "doctor":
                return _examine(environment, options.wake)
    except DeployError as error:
        sys.stderr.write(f"{options.target}: {error}\n")
        return 1
    return 0


def _examine(environment: Environment, wake: str) -> int:
    path = ROOT / "out" / f"doctor-{environment.name}.json"
    path.parent.mkdir(exist_ok=True)
    outputs = environment.read_outputs()
    path.write_text(json.dumps(outputs.raw, indent=2), "utf-8")
    command = [sys.executable, "-m", "coldforge", "doctor", "--deployment", str(path)]
    wakes = ["--wake"] if wake else []
    # The doctor says by itself what it can't look at without a key.
    key = environment.read_key(outputs) or ""
    environ = {**os.environ, "COLDFORGE_KEY": key}
    return subprocess.run(  # noqa: S603 - our own
        [*command, *wakes], env=environ, check=False
    ).returncode


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="infra.deploy", description=__doc__)
    targets = (
        "plan",
        "apply",
        "image",
        "deploy",
        "roles",
        "rotate",
        "destroy",
        "doctor",
        "prices",
    )
    parser.add_argument("target", choices=targets)
    parser.add_argument("--env", default="", help="folder of infra/terraform/environments")
    parser.add_argument("--replace", default="", help="address of what is to be made anew")
    parser.add_argument("--version", default="", help="of the image")
    parser.add_argument("--confirm", default="", help="name of the environment to destroy")
    parser.add_argument("--wake", default="", help="anything: the doctor wakes a VM")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
