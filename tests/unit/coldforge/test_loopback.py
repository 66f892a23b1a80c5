"""This machine is asked directly, whatever the environment says about proxies."""

import pytest

from coldforge.loopback import DirectSession, exempt_loopback, is_loopback

PROXY = "http://127.0.0.1:9"
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class TestIsLoopback:
    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:7071/api",
            "https://127.8.9.10",
            "http://localhost",
            "http://LOCALHOST.:80",
            "http://app.localhost",
            "https://[::1]:443/",
        ],
    )
    def test_knows_every_name_of_this_machine(self, url):
        assert is_loopback(url)

    @pytest.mark.parametrize(
        "url",
        ["http://10.0.0.1", "http://localhost.example", "http://127.0.0.1.example", "http:///x"],
    )
    def test_knows_no_other_machine(self, url):
        assert not is_loopback(url)


class TestDirectSession:
    @pytest.fixture(autouse=True)
    def _proxied(self, monkeypatch):
        """An environment of a company: a proxy for everything."""
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in NAMES:
            monkeypatch.setenv(name, PROXY)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/the/company.pem")

    def settings_for(self, url):
        with DirectSession() as session:
            return session.merge_environment_settings(url, {}, None, None, None)

    def test_asks_this_machine_without_a_proxy(self):
        settings = self.settings_for("https://127.0.0.1:7071/api")

        assert settings["proxies"] == {}
        assert settings["verify"] == "/the/company.pem"

    def test_asks_others_through_it(self):
        assert self.settings_for("https://app.example")["proxies"]["https"] == PROXY


class TestExemptLoopback:
    @pytest.mark.parametrize(
        ("given", "hosts"),
        [
            ({}, "127.0.0.1,localhost,::1"),
            ({"NO_PROXY": "a.example"}, "a.example,127.0.0.1,localhost,::1"),
            (
                {"no_proxy": "a.example, localhost", "NO_PROXY": "b.example"},
                "a.example,localhost,b.example,127.0.0.1,::1",
            ),
            ({"NO_PROXY": "*"}, "*"),
        ],
    )
    def test_says_so_in_both_spellings_and_keeps_what_is_there(self, given, hosts):
        environ = dict(given)

        exempt_loopback(environ)

        assert environ == {"NO_PROXY": hosts, "no_proxy": hosts}

    def test_changes_nothing_the_second_time(self):
        once: dict[str, str] = {"NO_PROXY": "a.example"}
        exempt_loopback(once)
        twice = dict(once)

        exempt_loopback(twice)

        assert twice == once
