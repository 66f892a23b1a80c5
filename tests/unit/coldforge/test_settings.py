"""What may be set as URL, key and token; no message repeats it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldforge.errors import SettingError
from coldforge.settings import MAX_SECRET_LENGTH, clean_secret, clean_url

SECRET = "wq3Nh7TzVJk0p5Ys"


class TestCleanSecret:
    @pytest.mark.parametrize("around", ["{}", "{}\n", "{}\r\n", "\t{} ", "\ufeff{}\n", "\u00a0{}"])
    def test_drops_the_blanks_that_a_file_or_a_copy_puts_around_it(self, around):
        assert clean_secret("key", around.format(SECRET)) == SECRET

    @pytest.mark.parametrize("nothing", [None, "", " \n", "\ufeff\n"])
    def test_is_none_where_nothing_is_left(self, nothing):
        assert clean_secret("key", nothing) is None

    @given(st.text())
    def test_takes_what_a_header_can_carry_and_refuses_the_rest_without_repeating_it(self, text):
        value = f"{SECRET}{text}{SECRET}"
        if all("!" <= character <= "~" for character in text):
            assert clean_secret("key", value) == value
            return

        with pytest.raises(SettingError) as caught:
            clean_secret("key", value)

        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("quote", ["'", '"'])
    def test_refuses_quotes_around_it(self, quote):
        with pytest.raises(SettingError, match="quotes"):
            clean_secret("key", f"{quote}{SECRET}{quote}")

    def test_refuses_one_that_no_server_takes(self):
        assert clean_secret("key", "k" * MAX_SECRET_LENGTH)
        with pytest.raises(SettingError, match="characters"):
            clean_secret("key", "k" * (MAX_SECRET_LENGTH + 1))


class TestCleanUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:7071",
            "https://app.example/api",
            "http://[::1]:80/",
            "https://bücher.de",
        ],
    )
    def test_takes_a_web_address(self, url):
        assert clean_url(f" {url}\n") == url

    @pytest.mark.parametrize(
        "url",
        [
            "",
            SECRET,
            f"localhost/{SECRET}",
            f"ftp://{SECRET}",
            f"http://me:{SECRET}@app.example",
            f"http://{SECRET}@app.example",
            f"http://app.example:{SECRET}",
            f"http://app.example/api?code={SECRET}",
            f"http://app.example/#{SECRET}",
            f"http://[{SECRET}",
            f"http://app.example/{SECRET}\nx",
            f"http://app.example/{SECRET} x",
            f"http://app.example/{SECRET}\udcff",
        ],
    )
    def test_refuses_anything_else_without_repeating_it(self, url):
        with pytest.raises(SettingError) as caught:
            clean_url(url)

        assert SECRET not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
