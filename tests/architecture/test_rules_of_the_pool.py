"""The rules of the pool's protocol are numbered, and each has tests that bear its number."""

import re

RULES = 15


class TestRulesOfThePool:
    def test_each_has_a_class_of_tests_named_after_it(self, root):
        tests = (root / "tests" / "unit" / "orchestrator").rglob("test_*.py")
        named = {
            int(number)
            for path in tests
            for number in re.findall(r"(?m)^class TestRule(\d\d)[A-Z]", path.read_text("utf-8"))
        }

        assert named == set(range(1, RULES + 1))
