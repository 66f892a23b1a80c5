"""What all suites share: how property tests draw their examples."""

import os

from hypothesis import settings

# The same examples every time, so that a change is judged by what it changed. `explore` draws
# new ones: HYPOTHESIS_PROFILE=explore make unit
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
