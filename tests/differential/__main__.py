"""Shows one program on both sides: ``python -m tests.differential SEED [MODE]``."""

import json
import subprocess
import sys
from dataclasses import asdict

from tests.differential.modes import MODES, begin_process, run_seed
from tests.differential.programs import make_program


def main() -> None:
    seed = int(sys.argv[1])
    modes = sys.argv[2:] or MODES
    write(json.dumps(make_program(seed), indent=1))
    answer = subprocess.run(
        [sys.executable, "-m", "tests.differential.peer_side"],
        input=json.dumps([seed]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    theirs = json.loads(answer.stdout)[str(seed)]
    write(f"in-memory backend: {json.dumps(theirs)}")
    worker = begin_process()
    for mode in modes:
        run = run_seed(seed, mode)
        ours = run.trace and asdict(run.trace)
        found = "the same" if ours == theirs else run.error or json.dumps(ours)
        write(f"{mode}: {found}")
    worker.stop()


def write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
