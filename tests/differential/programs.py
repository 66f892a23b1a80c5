"""Random orchestrations as plain data, so that two engines can run the same one.

A program is a dictionary ``{"steps": [...], "rounds": n}``: its steps are performed in order, and
all of them again in each further round, which begins with continue-as-new. A step is one of

=================== ==============================================================================
``do TASK``         yield the task; a failure ends the program
``try TASK``        yield the task; a failure is noted
``race TASK, x``    ``task_any`` of the task and of something that never comes: ``never`` (an event
                    that nobody raises) or ``late`` (a timer of an hour, which is then cancelled)
``scramble TASKS``  ``task_any``, then each of them by itself, whichever came first
``abandon TASKS``   ``task_any``, and the losers are never looked at again
``signal k, n``     signal an entity
``sleep s``         set a timer of days
``linger l``        look for an event of the round before; a short timer ends the wait
``raise l``         fail
=================== ==============================================================================

and a task one of ``call``, ``fault``, ``retry``, ``child``, ``child_retry``, ``timer``, ``event``,
``cue`` (an activity at which the outside world raises events), ``add`` and ``spoil`` (operations
of an entity), ``all`` and ``any``; `interpreter` says what each does.

What a program yields must not depend on which of two things happens first, for only then must two
engines agree. Some constructs are left out altogether, because the two sides rightly differ:

* two open waits of one event name: Azure's host serves the newest, `durabletask` the oldest; two
  events of one name before the wait: the SDK keeps the last, `durabletask` both. So every name is
  used once;
* an empty ``task_all`` or ``task_any``: complete at once in the SDK, never in `durabletask`;
* with-retry tasks yielded before they are done a second time, beside a task that may fail, or in a
  ``task_any`` with a timer that is cancelled afterwards: the ids of SDK and host part (replaying,
  the host takes the cancelled timer for done and orders what follows before the retries);
* open tasks at continue-as-new: Azure drops their results by execution id, the in-memory backend
  hands them to the next generation;
* an entity that changes its state and then fails: the SDK keeps the change, the other side not;
* timers beyond six days inside compounds: their second leg waits for the rest of the compound;
* ``call_http``: `durabletask` has none.
"""

import random
from collections.abc import Callable
from typing import Any

Task = list[Any]
Step = list[Any]
Program = dict[str, Any]

LONG_TIMER_S = 9 * 24 * 3600
"""Three legs for the SDK: three days, three days and the rest."""

MAX_DEPTH = 2


def make_program(seed: int) -> Program:
    """Make the program of a seed, always the same one."""
    return _Generator(random.Random(seed)).make_program(depth=0)


class _Generator:
    """Draws one program; labels are unique in it."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._labels = 0

    def make_program(self, depth: int) -> Program:
        source = self._source
        rounds = source.choice([1, 1, 1, 2, 3]) if depth < MAX_DEPTH else 1
        count = source.randint(2, 7 if depth == 0 else 3)
        steps: list[Step] = []
        while len(steps) < count:
            steps.extend(self._make_steps(depth, is_last_round=rounds == 1))
        if source.random() < 0.1:
            steps.append(["raise", self._label()])
        return {"steps": steps, "rounds": rounds}

    def _label(self) -> str:
        self._labels += 1
        return f"n{self._labels}"

    def _key(self) -> str:
        return self._source.choice("ab")

    def _make_steps(self, depth: int, *, is_last_round: bool) -> list[Step]:
        makers: list[tuple[int, Callable[[], list[Step]]]] = [
            (5, lambda: [[self._verb(), self._make_task(depth)]]),
            (2, lambda: [["try", self._make_failing(depth)]]),
            (4, lambda: [[self._verb(), self._make_all(depth)]]),
            (2, lambda: [["do", self._make_nested(depth)]]),
            (3, lambda: self._make_race(depth)),
            (2, lambda: [["scramble", [self._make_plain() for _ in range(3)]]]),
            (2, lambda: [["signal", self._source.choice("abs"), self._source.randint(1, 9)]]),
            (2, self._make_early_event),
            (1, self._make_lost_event),
            (1, lambda: [["sleep", LONG_TIMER_S]]),
        ]
        if is_last_round:
            makers.append((1, lambda: [["abandon", [["call", self._label()] for _ in range(2)]]]))
        weights = [weight for weight, _ in makers]
        return self._source.choices([make for _, make in makers], weights)[0]()

    def _verb(self) -> str:
        return self._source.choice(["do", "try", "try"])

    # Tasks

    def _make_plain(self) -> Task:
        """Make a task that succeeds and takes one id."""
        kind = self._source.choice(["call", "call", "timer", "add"])
        if kind == "timer":
            return ["timer", self._source.randint(1, 3)]
        if kind == "add":
            return ["add", self._key(), self._source.randint(1, 9)]
        return ["call", self._label()]

    def _make_task(self, depth: int) -> Task:
        """Make any task that succeeds."""
        kind = self._source.choice(["plain", "plain", "retry", "child", "child_retry"])
        if kind == "plain" or depth == MAX_DEPTH:
            return self._make_plain()
        if kind == "child":
            return self._make_child(depth)
        failures = self._source.randint(0, 2)
        return [kind, self._label(), failures, failures + self._source.randint(1, 2)]

    def _make_child(self, depth: int) -> Task:
        return ["child", self._label(), self.make_program(depth + 1), self._source.random() < 0.5]

    def _make_failing(self, depth: int) -> Task:
        kind = self._source.choice(["fault", "retry", "child_retry", "spoil"])
        if kind == "fault":
            return ["fault", self._label()]
        if kind == "spoil":
            return ["spoil", self._key(), self._label()]
        attempts = self._source.randint(1, 3)
        return [kind, self._label(), attempts, attempts]

    def _make_all(self, depth: int) -> Task:
        source = self._source
        if source.random() < 0.3:
            # One failure and siblings that take no further ids.
            tasks = [self._make_plain() for _ in range(source.randint(1, 3))]
            tasks.insert(source.randint(0, len(tasks)), ["fault", self._label()])
            return ["all", tasks]
        tasks = [self._make_safe(depth) for _ in range(source.randint(1, 4))]
        if source.random() < 0.4:
            # The wait is open when the event comes.
            label = self._label()
            tasks += [["event", label], ["cue", [label]]]
            source.shuffle(tasks)
        return ["all", tasks]

    def _make_safe(self, depth: int) -> Task:
        """Make a task that succeeds, children without a failure of their own included."""
        if depth < MAX_DEPTH and self._source.random() < 0.25:
            steps = [["do", self._make_plain()] for _ in range(self._source.randint(1, 2))]
            program = {"steps": steps, "rounds": self._source.choice([1, 1, 2])}
            return ["child", self._label(), program, self._source.random() < 0.5]
        if self._source.random() < 0.3:
            failures = self._source.randint(0, 2)
            return ["retry", self._label(), failures, failures + self._source.randint(1, 2)]
        return self._make_plain()

    def _make_nested(self, depth: int) -> Task:
        inner = ["any", [["call", self._label()], ["event", self._label()]]]
        return ["all", [inner, *(self._make_safe(depth) for _ in range(2))]]

    # Steps of several parts

    def _make_race(self, depth: int) -> list[Step]:
        loser = self._source.choice(["never", "late"])
        if self._source.random() < 0.3:
            label = self._label()
            return [["do", ["cue", [label]]], ["race", ["event", label], loser]]
        winner = (
            ["fault", self._label()] if self._source.random() < 0.2 else self._make_task(depth)
        )
        if winner[0] in ("retry", "child", "child_retry"):
            # A child may sleep for longer than the timer that must lose.
            loser = "never"
        return [["race", winner, loser]]

    def _make_early_event(self) -> list[Step]:
        """Raise events before anybody waits, and wait in another order."""
        labels = [self._label() for _ in range(self._source.randint(1, 3))]
        order = self._source.sample(labels, len(labels))
        waits: list[Step] = [["do", ["event", label]] for label in order]
        return [["do", ["cue", labels]], ["do", self._make_plain()], *waits]

    def _make_lost_event(self) -> list[Step]:
        """Raise an event that nobody in this round waits for, and look for it in the next one.

        It was not read when the round ended, so it is lost: the timer wins.
        """
        label = self._label()
        return [["linger", label], ["do", ["cue", [f"{label}-lost"]]]]
