"""Which URLs and addresses an image may be fetched from."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.input_errors import ForbiddenImageUrlError, InvalidImageUrlError
from orchestrator.intake.url_rules import ImageUrl, is_public_address


class TestIsPublicAddress:
    @pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111"])
    def test_takes_the_public_internet(self, address):
        assert is_public_address(ipaddress.ip_address(address))

    @pytest.mark.parametrize(
        "address",
        [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.130.1",
            "172.16.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:1.1.1.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fe80::1%eth0",
            "fec0::1",
            "ff02::1",
        ],
    )
    def test_takes_nothing_else(self, address):
        assert not is_public_address(ipaddress.ip_address(address))


class TestParse:
    def test_reads_a_url(self):
        url = ImageUrl.parse("HTTPS://Example.COM./a%20b/ü.png?sig=a%2Fb+c#part")

        assert (url.scheme, url.host, url.port) == ("https", "example.com", 443)
        assert url.target == "/a%20b/%C3%BC.png?sig=a%2Fb+c"
        assert url.origin == "https://example.com:443"

    def test_encodes_an_international_name(self):
        assert ImageUrl.parse("https://bücher.example/x").host == "xn--bcher-kva.example"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "photo.jpg",
            "ftp://example.com/a.png",
            "file:///etc/passwd",
            "data:image/png;base64,AAAA",
            "https://",
            "https:///a.png",
            "https://user:secret@example.com/a.png",
            "https://example.com@10.0.0.1/",
            "https://example.com\\@10.0.0.1/",
            "https://example.com/a\r\nHost: inside",
            "https://exa mple.com/a.png",
            "https://exa%00mple.com/a.png",
            "https://[::1/a.png",
            "https://[fe80::1%25eth0]/a.png",
            "https://example.com:99999/a.png",
            "https://example.com:x/a.png",
            "https://-bad-.example/a.png",
            "https://a..b/a.png",
            "https://" + "a" * 64 + ".example/",
            "https://example.com/" + "a" * 9_000,
            "https://example.com/\ud800",
            "https://example.com/?a=\udcff",
        ],
    )
    def test_refuses_what_is_no_plain_web_address(self, text):
        with pytest.raises(InvalidImageUrlError) as caught:
            ImageUrl.parse(text)

        assert "secret" not in caught.value.message

    @pytest.mark.parametrize("port", [0, 22, 6379, 8080, 10250])
    def test_refuses_other_ports(self, port):
        with pytest.raises(ForbiddenImageUrlError):
            ImageUrl.parse(f"http://example.com:{port}/a.png")

    def test_takes_a_port_that_the_settings_name(self):
        url = ImageUrl.parse("http://DEV:8080/a", allowed_hosts=frozenset({"dev:8080"}))

        assert url.is_named
        assert not ImageUrl.parse("http://dev/a", allowed_hosts=frozenset({"dev:8080"})).is_named

    def test_keeps_a_query_out_of_its_origin(self):
        assert "sig" not in ImageUrl.parse("https://a.example/x?sig=1").origin


class TestResolveLocation:
    HERE = ImageUrl.parse("https://photos.example/deep/a?size=l")

    @pytest.mark.parametrize(
        ("location", "there"),
        [
            ("b", "https://photos.example:443/deep/b"),
            ("?size=s", "https://photos.example:443/deep/a?size=s"),
            ("//cdn.example/b", "https://cdn.example/b"),
            ("\\\\cdn.example\\b?c=\\d", "https://cdn.example/b?c=\\d"),
            ("/\udcfc?a=\udcff", "https://photos.example:443/%FC?a=%FF"),
        ],
    )
    def test_reads_what_browsers_read(self, location, there):
        assert self.HERE.resolve_location(location) == there

    @given(
        host=st.sampled_from(["10.0.0.1", "photos.example", "cdn.example"]),
        slashes=st.text("/\\", min_size=2, max_size=2),
        tail=st.text("ab/\\@?#:. \udcfc", max_size=12),
    )
    def test_ends_at_one_host_or_nowhere(self, host, slashes, tail):
        """What follows the host can't change it, however slashes lean."""
        try:
            url = ImageUrl.parse(self.HERE.resolve_location(f"https:{slashes}{host}/{tail}"))
        except InvalidImageUrlError:
            return

        assert url.host == host
        assert url.target.isascii()


class TestCheckAddress:
    @pytest.mark.parametrize("address", ["169.254.169.254", "168.63.129.16"])
    def test_refuses_the_platform_even_behind_a_name_that_settings_allow(self, address):
        url = ImageUrl.parse("http://dev:8080/", allowed_hosts=frozenset({"dev:8080"}))

        url.check_address(ipaddress.ip_address("10.0.0.4"), is_public=False)
        with pytest.raises(ForbiddenImageUrlError) as caught:
            url.check_address(ipaddress.ip_address(address), is_public=False)

        assert address not in caught.value.message
