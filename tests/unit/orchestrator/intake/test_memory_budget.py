import threading
import time

import pytest

from orchestrator.intake.memory_budget import MemoryBudget, OutOfMemoryBudgetError

LIMIT_S = 20.0


class TestTake:
    def test_lets_side_by_side_what_fits(self):
        budget = MemoryBudget(100, lambda: 40)

        with budget.take(30), budget.take(30):
            pass

    def test_refuses_what_would_not_fit_alone(self):
        budget = MemoryBudget(100, lambda: 40)

        with pytest.raises(OutOfMemoryBudgetError):
            budget.take(61).__enter__()

    def test_counts_what_the_app_itself_takes(self):
        resting = [0]
        budget = MemoryBudget(100, lambda: resting[0])
        with budget.take(60):
            pass
        resting[0] = 50

        with pytest.raises(OutOfMemoryBudgetError):
            budget.take(60).__enter__()

    def test_has_the_next_wait_until_there_is_room_and_keeps_the_order(self):
        budget = MemoryBudget(100, lambda: 0)
        order: list[str] = []

        def take(name: str, need: int) -> None:
            with budget.take(need):
                order.append(name)

        large = threading.Thread(target=take, args=("large", 90))
        small = threading.Thread(target=take, args=("small", 10))
        with budget.take(50):
            large.start()
            # Whoever holds the turn keeps it while it waits for room.
            deadline = time.monotonic() + LIMIT_S
            while not budget._turn.locked() and time.monotonic() < deadline:
                pass
            small.start()
            assert order == []
        large.join(LIMIT_S)
        small.join(LIMIT_S)

        assert order == ["large", "small"]
