"""What all suites share: how property tests draw their examples, and who needs torch."""

import importlib.util
import os

import pytest
from hypothesis import settings

from coldforge.loopback import exempt_loopback

# The tests' own requests to this machine go by no proxy; what ours do is tested in environments
# of their own.
exempt_loopback(os.environ)

# The same examples every time, so that a change is judged by what it changed. `explore` draws
# new ones: HYPOTHESIS_PROFILE=explore make unit
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the engine's tests where torch can't be had, unless they must not be."""
    if item.get_closest_marker("engine") is None or importlib.util.find_spec("torch") is not None:
        return
    sentence = "The CPU build of torch can't be had on this machine."
    if os.environ.get("COLDFORGE_REQUIRE_ENGINE") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)
