"""The options that name the server; they may come before or after the command's name."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from coldforge.client import Client

DEFAULT_URL = "http://127.0.0.1:7071"

OUTAGE_LIMIT_S = 10.0
"""Short, because the URL may be wrong; a running job is watched through a longer outage."""

_NAMES = ("url", "key", "is_json")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a command goes.

    Attributes:
        url: Of the server.
        key: Function key, or None.
        is_json: Whether results are printed as JSON.
    """

    url: str
    key: str | None = field(repr=False)
    is_json: bool

    @classmethod
    def choose(
        cls, behind: Mapping[str, Any], before: Mapping[str, Any], environ: Mapping[str, str]
    ) -> "Server":
        """Take each option from after the command's name, else before it, else the environment.

        Nothing is checked here: it is not known yet whether errors are wanted as JSON.
        """

        def first(name: str, variable: str) -> str | None:
            return behind.get(name) or before.get(name) or environ.get(variable) or None

        return cls(
            url=first("url", "COLDFORGE_URL") or DEFAULT_URL,
            key=first("key", "COLDFORGE_KEY"),
            is_json=bool(behind.get("is_json") or before.get("is_json")),
        )

    def connect(self) -> Client:
        """Return a client that says so once when the server does not answer.

        Raises:
            SettingError: The URL or the key can't be used.
        """
        has_said = False

        def say_once(_away_s: float) -> None:
            nonlocal has_said
            if not has_said:
                click.echo(f"{self.url.strip()} does not answer, trying again", err=True)
            has_said = True

        return Client(
            self.url,
            key=self.key,
            outage_limit_s=OUTAGE_LIMIT_S,
            on_outage=say_once,
        )


def add_server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options as they are; for the group."""
    options = (
        click.option(
            "--url",
            help=f"Address of the server.  [env var: COLDFORGE_URL; default: {DEFAULT_URL}]",
        ),
        click.option("--key", help="Function key.  [env var: COLDFORGE_KEY]"),
        click.option(
            "--json", "is_json", is_flag=True, help="Print JSON, one object a line, to stdout."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def takes_server(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options and hand them on as the argument `server`; for a command."""

    @functools.wraps(command)
    def with_server(**arguments: Any) -> None:
        context = click.get_current_context()
        behind = {name: arguments.pop(name) for name in _NAMES}
        before = context.parent.params if context.parent is not None else {}
        server = Server.choose(behind, before, os.environ)
        context.meta["coldforge.is_json"] = server.is_json
        command(server=server, **arguments)

    return add_server_options(with_server)
