"""The functions host, which also writes down every call of a workflow and its answer.

``HISTORIES_LOG`` names the file: one JSON line for each call.
"""

import json
import os
import sys
from pathlib import Path

from localcloud.functions_host.__main__ import main
from localcloud.functions_host.worker import Worker


class RecordingWorker(Worker):
    """Notes what goes in and out of each orchestrator."""

    def call_orchestrator(self, name: str, context: str) -> str:
        try:
            answer = super().call_orchestrator(name, context)
        except Exception as error:
            _note(name, context, failure=f"{error}")
            raise
        _note(name, context, answer=answer)
        return answer


def _note(name: str, context: str, **result: str) -> None:
    line = json.dumps({"workflow": name, "context": context, **result}) + "\n"
    with Path(os.environ["HISTORIES_LOG"]).open("a") as log:
        log.write(line)


if __name__ == "__main__":
    # The host makes its worker itself; this is the one place in which another one is wanted.
    sys.modules["localcloud.functions_host.server"].Worker = RecordingWorker
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
