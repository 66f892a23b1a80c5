import asyncio
import contextvars
import threading

import pytest

from orchestrator.lanes import Lane

mark = contextvars.ContextVar("mark", default="")


def look() -> tuple[str, str]:
    return threading.current_thread().name, mark.get()


class TestRun:
    def test_runs_in_a_thread_of_the_lane_with_the_context_of_the_caller(self):
        mark.set("here")

        name, context = asyncio.run(Lane("quick", 1).run(look))

        assert name.startswith("quick")
        assert context == "here"

    def test_is_not_held_up_by_another_lane(self):
        release = threading.Event()
        full, free = Lane("full", 1), Lane("free", 1)

        async def run() -> str:
            stuck = asyncio.ensure_future(full.run(release.wait))
            name, _ = await free.run(look)
            release.set()
            await stuck
            return name

        assert asyncio.run(run()).startswith("free")

    def test_raises_what_the_function_raises_and_counts_it(self):
        lane = Lane("quick", 1)

        with pytest.raises(ValueError):
            asyncio.run(lane.run(int, "x"))

        assert lane.ran["int"] == 1
