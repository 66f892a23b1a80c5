import pytest

from localcloud.functions_host.sanitizer import find_credential_mark


class TestFindCredentialMark:
    @pytest.mark.parametrize(
        ("text", "mark"),
        [
            ('"https://x/y?se=1&sig=abc"', "&sig="),
            ('"AccountKey=abc"', "AccountKey="),
            ('"https://me:pass@x"', "user:password@"),
            ('"jobs/1/input.png"', None),
            ('"monkey: 5, https://x/a@b"', None),
            (None, None),
        ],
    )
    def test_names_the_mark_and_never_the_credential(self, text, mark):
        assert find_credential_mark(text) == mark
