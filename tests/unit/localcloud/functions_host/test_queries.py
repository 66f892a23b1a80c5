from datetime import UTC, datetime

import pytest
from multidict import MultiDict

from localcloud.functions_host.queries import Query


def query(*pairs):
    return Query(MultiDict(pairs).items())


class TestQuery:
    def test_ignores_the_case_of_names(self):
        assert query(("ShowINPUT", "false")).flag("showInput", default=True) is False

    @pytest.mark.parametrize("text", ["", "1", "yes"])
    def test_takes_a_flag_that_is_none_for_absent(self, text):
        assert query(("a", text)).flag("a", default=True) is True
        assert query(("a", text)).flag("a") is False

    @pytest.mark.parametrize(
        ("text", "count"), [("7", 7), ("", 100), ("x", 100), ("0", 100), ("-1", 100)]
    )
    def test_takes_a_count_that_is_none_for_absent(self, text, count):
        assert query(("top", text)).count("top", default=100) == count

    @pytest.mark.parametrize(("text", "seconds"), [("1.5", 1.5), ("x", None), ("nan", None)])
    def test_reads_seconds(self, text, seconds):
        assert query(("timeout", text)).seconds("timeout") == seconds

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
            ("2026-01-02T03:04:05.000000Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
            ("1-01-01T00:00:00.000000Z", datetime(1, 1, 1, tzinfo=UTC)),
            ("yesterday", None),
            ("", None),
        ],
    )
    def test_reads_moments(self, text, moment):
        assert query(("from", text)).moment("from") == moment

    def test_reads_statuses_by_name_and_number_and_leaves_the_rest_out(self):
        read = query(("s", "Running,6, Failed ,running,8,Odd"), ("s", "Completed")).statuses("s")

        assert read == ["Running", "Pending", "Failed", "Completed"]
