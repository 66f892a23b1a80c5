"""`Tools` over what each program would print, by the beginning of its command."""

from collections.abc import Sequence

from infra.deploy.errors import ToolFailedError, ToolMissingError


class FakeTools:
    """Remembers what was run; answers by the longest beginning that fits, else with nothing.

    An answer may be an error, which is raised, or a function of the command.
    """

    def __init__(self, answers=None, *, missing: Sequence[str] = ()) -> None:
        self.answers = dict(answers or {})
        self.missing = set(missing)
        self.ran: list[str] = []

    def read(self, command):
        line = " ".join(command)
        if command[0] in self.missing:
            raise ToolMissingError(f"{command[0]} is not installed: put it on the PATH.")
        self.ran.append(line)
        fitting = [beginning for beginning in self.answers if line.startswith(beginning)]
        answer = self.answers[max(fitting, key=len)] if fitting else ""
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            raise ToolFailedError(f"{command[0]} {command[1]} ended with {answer}")
        return answer(command) if callable(answer) else answer

    def show(self, command):
        self.read(command)

    def was_run(self, beginning):
        """Tell whether a command that begins like this was run."""
        return any(line.startswith(beginning) for line in self.ran)
