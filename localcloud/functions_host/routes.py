"""ASP.NET route templates, as HTTP triggers write them: ``jobs/{id:int?}``, ``files/{*path}``."""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from localcloud.functions_host.errors import AppLoadError

Target = TypeVar("Target")

_PART = re.compile(r"\{((?:[^{}]|\{\{|\}\})*)\}")


@dataclass(frozen=True)
class Constraint:
    """A condition on a route value.

    Attributes:
        text: As the template has it.
        accepts: Tells whether a value fits.
    """

    text: str
    accepts: Callable[[str], bool]


@dataclass(frozen=True)
class Route:
    """A compiled template.

    Attributes:
        template: As it was written.
        pattern: Matches a path without slashes at its ends.
        names: Parameter name by group of the pattern.
        constraints: By parameter.
        defaults: Values of parameters that the path leaves out.
        rank: Sorts the more specific route first.
    """

    template: str
    pattern: re.Pattern[str]
    names: Mapping[str, str]
    constraints: Mapping[str, tuple[Constraint, ...]]
    defaults: Mapping[str, str]
    rank: tuple[int, ...]

    def match(self, path: str) -> dict[str, str] | None:
        """Match a path.

        Args:
            path: Decoded, without slashes at its ends.

        Returns:
            The route values, absent optionals left out; None if it does not fit.
        """
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        values = {
            self.names[group]: value
            for group, value in found.groupdict().items()
            if value is not None and value != ""
        }
        for name, value in values.items():
            if not all(one.accepts(value) for one in self.constraints.get(name, ())):
                return None
        return {**self.defaults, **values}


class RouteTable(Generic[Target]):
    """Routes with their methods, the most specific first."""

    def __init__(self) -> None:
        self._rows: list[tuple[Route, frozenset[str], Target]] = []

    def add(self, template: str, methods: Sequence[str], target: Target) -> None:
        """Add a route.

        Args:
            template: Its template, without the prefix.
            methods: Allowed methods in upper case; empty for all.
            target: What it leads to.

        Raises:
            AppLoadError: The template can't be read.
        """
        self._rows.append((compile_route(template), frozenset(methods), target))
        self._rows.sort(key=lambda row: row[0].rank)

    def find(self, method: str, path: str) -> tuple[Target, dict[str, str]] | None:
        """Find where a request leads, with its route values; None if nowhere."""
        trimmed = path.strip("/")
        for route, methods, target in self._rows:
            if methods and method not in methods:
                continue
            values = route.match(trimmed)
            if values is not None:
                return target, values
        return None


def compile_route(template: str) -> Route:
    """Compile a template.

    Raises:
        AppLoadError: It can't be read.
    """
    names: dict[str, str] = {}
    constraints: dict[str, tuple[Constraint, ...]] = {}
    defaults: dict[str, str] = {}
    rank: list[int] = []
    pattern = ""
    segments = [segment for segment in template.strip("/").split("/") if segment]
    for position, segment in enumerate(_rejoin(segments)):
        pieces, weight, is_optional = _compile_segment(
            template, segment, names, constraints, defaults
        )
        rank.append(weight)
        slash = "/" if position else ""
        pattern += f"(?:{slash}{pieces})?" if is_optional else slash + pieces
    return Route(
        template=template,
        pattern=re.compile(pattern, re.IGNORECASE | re.DOTALL),
        names=names,
        constraints=constraints,
        defaults=defaults,
        rank=tuple(rank),
    )


def _rejoin(segments: Sequence[str]) -> list[str]:
    """Put segments together again that a slash inside braces has cut."""
    joined: list[str] = []
    for segment in segments:
        if joined and joined[-1].count("{") > joined[-1].count("}"):
            joined[-1] += "/" + segment
        else:
            joined.append(segment)
    return joined


def _compile_segment(
    template: str,
    segment: str,
    names: dict[str, str],
    constraints: dict[str, tuple[Constraint, ...]],
    defaults: dict[str, str],
) -> tuple[str, int, bool]:
    """Compile one segment to its pattern, its weight and whether it may be absent."""
    parts = list(_PART.finditer(segment))
    if not parts:
        if "{" in segment or "}" in segment:
            raise AppLoadError(f"the route '{template}' has an unclosed brace")
        return re.escape(segment), 0, False
    is_optional = False
    pattern, end, weight = "", 0, 1
    for part in parts:
        pattern += re.escape(segment[end : part.start()])
        end = part.end()
        is_catch_all = part[1].startswith("*")
        name, rules, default, may_lack = _parse_parameter(template, part[1].lstrip("*"))
        if name in names.values():
            raise AppLoadError(f"the route '{template}' names '{name}' twice")
        group = f"p{len(names)}"
        names[group] = name
        constraints[name] = rules
        if default is not None:
            defaults[name] = default
        pattern += f"(?P<{group}>{'.*' if is_catch_all else '[^/]+?'})"
        is_whole = part.group() == segment
        weight = max(weight, _weigh(rules, is_whole=is_whole, is_catch_all=is_catch_all))
        is_optional |= is_whole and (may_lack or default is not None or is_catch_all)
    return pattern + re.escape(segment[end:]), weight, is_optional


def _weigh(rules: Sequence[Constraint], *, is_whole: bool, is_catch_all: bool) -> int:
    if is_catch_all:
        return 4 if rules else 5
    if not is_whole:
        return 1
    return 2 if rules else 3


def _parse_parameter(
    template: str, text: str
) -> tuple[str, tuple[Constraint, ...], str | None, bool]:
    """Split ``name:rule:rule=default?`` into its parts."""
    may_lack = text.endswith("?")
    text = text.removesuffix("?")
    name = re.split(r"[:=]", text, maxsplit=1)[0]
    rest = text[len(name) :]
    rules: list[Constraint] = []
    while rest.startswith(":"):
        rule, rest = _cut_rule(rest[1:])
        rules.append(_to_constraint(template, rule))
    default = rest[1:] if rest.startswith("=") else None
    if not re.fullmatch(r"[^\s/*]+", name):
        raise AppLoadError(f"the route '{template}' has a parameter without a name")
    return name, tuple(rules), default, may_lack


def _cut_rule(text: str) -> tuple[str, str]:
    depth = 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0 and char in ":=":
            return text[:position], text[position:]
    return text, ""


def _to_constraint(template: str, text: str) -> Constraint:
    name, _, rest = text.partition("(")
    argument = rest.removesuffix(")")
    plain: dict[str, Callable[[str], bool]] = {
        "int": lambda value: _is_integer(value, 32),
        "long": lambda value: _is_integer(value, 64),
        "bool": lambda value: value.lower() in ("true", "false"),
        "alpha": lambda value: bool(re.fullmatch("[A-Za-z]*", value)),
        "guid": _is_guid,
        "decimal": _is_number,
        "double": _is_number,
        "float": _is_number,
        "datetime": _is_moment,
        "required": bool,
    }
    if name in plain:
        return Constraint(text, plain[name])
    try:
        return Constraint(text, _with_argument(name, argument))
    except (KeyError, ValueError, re.error) as error:
        raise AppLoadError(
            f"the route '{template}' has the unknown constraint '{text}'"
        ) from error


def _with_argument(name: str, argument: str) -> Callable[[str], bool]:
    if name == "regex":
        compiled = re.compile(argument.replace("{{", "{").replace("}}", "}"), re.IGNORECASE)
        return lambda value: compiled.search(value) is not None
    numbers = [int(number) for number in argument.split(",")]
    low, high = numbers[0], numbers[-1]
    rules: dict[str, Callable[[str], bool]] = {
        "length": lambda value: low <= len(value) <= high,
        "minlength": lambda value: len(value) >= low,
        "maxlength": lambda value: len(value) <= low,
        "min": lambda value: _is_integer(value, 64) and int(value) >= low,
        "max": lambda value: _is_integer(value, 64) and int(value) <= low,
        "range": lambda value: _is_integer(value, 64) and low <= int(value) <= high,
    }
    return rules[name]


def _is_integer(value: str, bits: int) -> bool:
    return bool(re.fullmatch(r"[+-]?\d+", value)) and -(2 ** (bits - 1)) <= int(value) < 2 ** (
        bits - 1
    )


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _is_guid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


def _is_moment(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
