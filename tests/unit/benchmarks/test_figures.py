from benchmarks.figures import Spread, percentile_of, spread_of


class TestSpreadOf:
    def test_finds_the_quartiles_in_any_order(self):
        assert spread_of([5, 1, 4, 2, 3]) == Spread(2, 3, 4)

    def test_takes_a_single_sample_as_it_is(self):
        assert spread_of([7]) == Spread(7, 7, 7)

    def test_is_written_with_its_median_first(self):
        assert spread_of([5, 1, 4, 2, 3]).text(1) == "3.0 (2.0-4.0)"


class TestPercentileOf:
    def test_is_the_sample_that_so_many_are_not_above(self):
        assert percentile_of([3, 1, 2, 4], 50) == 2
        assert percentile_of([3, 1, 2, 4], 75) == 3
        assert percentile_of([3, 1, 2, 4], 99) == 4

    def test_of_a_hundred_samples_leaves_the_worst_out(self):
        assert percentile_of(range(1, 101), 99) == 99
