"""Tokens: whose they are, for whom and for how long."""

import time

import pytest

from localcloud.arm.identity import MANAGEMENT_AUDIENCES, TokenError, TokenIssuer

MANAGEMENT = "https://management.azure.com"


def issue(issuer, *, resource=MANAGEMENT, now=None):
    return issuer.issue(
        resource=resource, subject="gpu-0", client_id="id", now=time.time() if now is None else now
    )


class TestTokenIssuer:
    def test_accepts_what_it_issued(self, tmp_path):
        issuer = TokenIssuer(tmp_path / "token.key")

        claims = issuer.check(issue(issuer), audiences=MANAGEMENT_AUDIENCES)

        assert claims["sub"] == "gpu-0"
        assert claims["iss"].startswith("https://sts.windows.net/")

    def test_accepts_it_also_after_a_restart(self, tmp_path):
        token = issue(TokenIssuer(tmp_path / "token.key"))

        claims = TokenIssuer(tmp_path / "token.key").check(token, audiences=MANAGEMENT_AUDIENCES)

        assert claims["sub"] == "gpu-0"

    def test_keeps_its_key_to_itself(self, tmp_path):
        TokenIssuer(tmp_path / "token.key")

        assert (tmp_path / "token.key").stat().st_mode & 0o077 == 0

    def test_refuses_anothers_signature(self, tmp_path):
        token = issue(TokenIssuer(tmp_path / "other.key"))

        with pytest.raises(TokenError) as refused:
            TokenIssuer(tmp_path / "token.key").check(token, audiences=MANAGEMENT_AUDIENCES)

        assert refused.value.code == "InvalidAuthenticationToken"

    @pytest.mark.parametrize(
        ("resource", "now", "code"),
        [
            ("https://storage.azure.com", None, "InvalidAuthenticationTokenAudience"),
            (MANAGEMENT, 1_000_000.0, "ExpiredAuthenticationToken"),
        ],
    )
    def test_says_what_is_wrong(self, tmp_path, resource, now, code):
        issuer = TokenIssuer(tmp_path / "token.key")

        with pytest.raises(TokenError) as refused:
            issuer.check(issue(issuer, resource=resource, now=now), audiences=MANAGEMENT_AUDIENCES)

        assert refused.value.code == code
