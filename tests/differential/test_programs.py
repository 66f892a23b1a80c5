import json

from tests.differential.programs import make_program

KINDS = {
    *("do", "try", "race", "scramble", "abandon", "signal", "raise", "sleep", "linger"),
    *("call", "fault", "retry", "child", "child_retry", "timer", "event", "cue", "add", "spoil"),
    *("all", "any", "never", "late"),
}


class TestMakeProgram:
    def test_gives_the_same_program_for_the_same_seed(self):
        assert make_program(7) == make_program(7)
        assert make_program(7) != make_program(8)

    def test_uses_every_construct_often(self):
        texts = [json.dumps(make_program(seed)) for seed in range(500)]

        counts = {kind: sum(f'"{kind}"' in text for text in texts) for kind in KINDS}

        assert min(counts.values()) >= 25, counts

    def test_continues_as_new_often(self):
        programs = [make_program(seed) for seed in range(500)]

        assert sum(program["rounds"] > 1 for program in programs) >= 100

    def test_leaves_nothing_open_at_the_end_of_a_round(self):
        for seed in range(500):
            program = make_program(seed)
            if program["rounds"] > 1:
                assert not any(step[0] == "abandon" for step in program["steps"])
