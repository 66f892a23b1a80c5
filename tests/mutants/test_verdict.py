"""A fault whose test did not run is neither caught nor a survivor."""

from queue import SimpleQueue

import pytest

from tests.mutants.__main__ import judge
from tests.mutants.table import Mutant
from tests.mutants.verdict import Outcome, Ran, Verdict, judge_run, sum_up

MUTANT = Mutant(
    rule="one is one",
    file="one.py",
    text="ONE = 1",
    replacement="ONE = 2",
    test="test_one.py",
)
TESTS = {
    Outcome.CAUGHT: "def test_one(): assert one.ONE == 1",
    Outcome.SURVIVED: "def test_one(): pass",
    Outcome.NOT_JUDGED: "def test_one(): pytest.skip('packer is not installed')",
    Outcome.NO_VERDICT: "def test_one(:",
}


@pytest.fixture(name="judge_with")
def _judge_with(tmp_path):
    """Judge the mutant by a test of this text, with pytest itself."""

    def judge_with(text):
        (tmp_path / "one.py").write_text("ONE = 1\n")
        (tmp_path / "test_one.py").write_text(f"import one\nimport pytest\n{text}\n")
        copies = SimpleQueue()
        copies.put(tmp_path)
        return judge(MUTANT, copies)

    return judge_with


class TestJudge:
    @pytest.mark.parametrize("outcome", list(Outcome))
    def test_tells_by_the_tests_own_run(self, judge_with, outcome):
        assert judge_with(TESTS[outcome]).outcome is outcome

    def test_gives_the_reason_of_the_skip(self, judge_with):
        verdict = judge_with(TESTS[Outcome.NOT_JUDGED])

        assert verdict.text() == "not judged  one is one: packer is not installed"


class TestJudgeRun:
    def test_trusts_no_pass_of_which_a_part_was_skipped(self):
        verdict = judge_run(MUTANT, Ran(0, "1 passed, 2 skipped", ("no torch", "no torch")))

        assert verdict == Verdict(Outcome.NOT_JUDGED, "one is one: no torch")

    def test_believes_a_failure_beside_a_skip(self):
        assert judge_run(MUTANT, Ran(1, "", ("no torch",))).outcome is Outcome.CAUGHT

    def test_is_no_verdict_where_no_test_was_found(self):
        assert judge_run(MUTANT, Ran(5, "no tests ran")).outcome is Outcome.NO_VERDICT


class TestSumUp:
    @pytest.mark.parametrize(
        ("outcomes", "line", "status"),
        [
            ("caught caught", "2 caught, 0 not caught, 0 not judged", 0),
            ("caught not_judged", "1 caught, 0 not caught, 1 not judged", 0),
            ("caught survived not_judged", "1 caught, 1 not caught, 1 not judged", 1),
            ("caught no_verdict", "1 caught, 1 not caught, 0 not judged", 1),
            ("not_judged not_judged", "0 caught, 0 not caught, 2 not judged", 1),
        ],
    )
    def test_counts_apart_what_was_not_judged(self, outcomes, line, status):
        verdicts = [Verdict(Outcome[name.upper()], "") for name in outcomes.split()]

        text, ended = sum_up(verdicts, 12.3)

        assert text == f"{len(verdicts)} mutants in 12 s: {line}"
        assert ended == status
