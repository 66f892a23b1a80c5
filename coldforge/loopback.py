"""Keeps requests to this machine away from proxies."""

import ipaddress
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import requests

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(url: str) -> bool:
    """Tell whether a URL leads to this machine, whatever it is called there."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class DirectSession(requests.Session):
    """A session that asks this machine directly, and others as the environment says."""

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Drop the proxies of a loopback URL; what else the environment sets stays."""
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        if is_loopback(url):
            settings["proxies"] = {}
        return settings


def exempt_loopback(environ: MutableMapping[str, str]) -> None:
    """Exempt this machine from proxies in an environment, for libraries that read it themselves.

    Some read ``NO_PROXY``, some ``no_proxy``: both hold the hosts of both afterwards.
    """
    listed = ",".join(environ.get(name, "") for name in ("no_proxy", "NO_PROXY")).split(",")
    hosts = [host.strip() for host in listed if host.strip()]
    # A star among others would be read as the name of a host.
    exempt = "*" if "*" in hosts else ",".join(dict.fromkeys([*hosts, *LOOPBACK]))
    environ["no_proxy"] = environ["NO_PROXY"] = exempt
