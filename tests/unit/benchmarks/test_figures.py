from benchmarks.figures import Spread, spread_of


class TestSpreadOf:
    def test_finds_the_quartiles_in_any_order(self):
        assert spread_of([5, 1, 4, 2, 3]) == Spread(2, 3, 4)

    def test_takes_a_single_sample_as_it_is(self):
        assert spread_of([7]) == Spread(7, 7, 7)

    def test_is_written_with_its_median_first(self):
        assert spread_of([5, 1, 4, 2, 3]).text(1) == "3.0 (2.0-4.0)"
