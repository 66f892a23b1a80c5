"""Which blobs a blob trigger's ``path`` names, and what its tokens stand for."""

import re
from collections.abc import Mapping

from localcloud.functions_host.errors import AppLoadError

_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[^{}]+|[{}]")
_CONTAINER = re.compile(r"\$root|\$web|[a-z0-9](?:-?[a-z0-9]){2,62}")
_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class BlobPath:
    """A pattern such as ``inbox/{batch}/{name}.png``.

    A token takes as much as it can, slashes included; ``{{`` and ``}}`` are braces; a container
    alone names all of its blobs.

    Attributes:
        text: The pattern.
        container: The container, which has no tokens.
        prefix: What the names of all matching blobs begin with.
    """

    def __init__(self, text: str) -> None:
        """Read a pattern.

        Raises:
            AppLoadError: It can't be read.
        """
        self.text = text
        self.container, _, name = text.partition("/")
        if not _CONTAINER.fullmatch(self.container):
            raise AppLoadError(
                f"the blob path '{text}' must begin with a container's name, without tokens"
            )
        self.prefix = ""
        self._pattern = re.compile(self._compile(name) if name else ".*", re.DOTALL)

    def match(self, name: str) -> Mapping[str, str] | None:
        """Read the tokens off a blob's name; None if the pattern does not fit."""
        found = self._pattern.fullmatch(name)
        return None if found is None else found.groupdict()

    def _compile(self, name: str) -> str:
        pattern, prefix, tokens = "", "", set[str]()
        for part in _PARTS.finditer(name):
            text, token = part[0], part[1]
            if token is None:
                if text in ("{", "}"):
                    raise AppLoadError(f"the blob path '{self.text}' has a brace without its pair")
                plain = text[0] if text in ("{{", "}}") else text
                pattern += re.escape(plain)
                prefix += "" if tokens else plain
                continue
            if not _TOKEN.fullmatch(token) or token in tokens:
                raise AppLoadError(
                    f"the blob path '{self.text}' has a token '{{{token}}}' that is no name or "
                    "occurs twice"
                )
            tokens.add(token)
            pattern += f"(?P<{token}>.*)"
        self.prefix = prefix
        return pattern
