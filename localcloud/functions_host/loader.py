"""Finds the functions of an app as the Azure worker does, and refuses what can't work there.

Several mistakes pass every decorator and fail in Azure only, some of them in silence. Here each is
one sentence at the start.
"""

import importlib
import inspect
import re
import sys
import traceback
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
from azure.functions.decorators.function_app import FunctionRegister

from localcloud.functions_host.errors import AppLoadError

SUPPORTED_TRIGGERS = frozenset(
    {
        "httpTrigger",
        "timerTrigger",
        "blobTrigger",
        "orchestrationTrigger",
        "activityTrigger",
        "entityTrigger",
    }
)
_DURABLE_NAME_FIELDS = {
    "orchestrationTrigger": "orchestration",
    "activityTrigger": "activity",
    "entityTrigger": "entityName",
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True)
class AppFunction:
    """One function of the app.

    Attributes:
        name: Its function name.
        call: What to call, by keyword.
        trigger: Its trigger binding, as function.json would hold it.
        bindings: All of its bindings, trigger included.
        is_async: Whether the call gives a coroutine.
        takes_context: Whether it takes ``context: func.Context``.
    """

    name: str
    call: Callable[..., Any]
    trigger: Mapping[str, Any]
    bindings: tuple[Mapping[str, Any], ...]
    is_async: bool
    takes_context: bool

    @property
    def trigger_type(self) -> str:
        """Type of its trigger, such as ``httpTrigger``."""
        return str(self.trigger["type"])

    @property
    def durable_name(self) -> str:
        """Name under which the Durable engine knows it."""
        field = _DURABLE_NAME_FIELDS.get(self.trigger_type, "")
        return str(self.trigger.get(field) or self.name)

    @property
    def client_names(self) -> tuple[str, ...]:
        """Parameters that take a Durable client."""
        return tuple(b["name"] for b in self.bindings if b["type"] == "durableClient")


@dataclass(frozen=True)
class App:
    """The functions of an app, by lower-cased name.

    Attributes:
        functions: By function name.
        orchestrators: By durable name.
        activities: By durable name.
        entities: By durable name.
    """

    functions: Mapping[str, AppFunction]
    orchestrators: Mapping[str, AppFunction]
    activities: Mapping[str, AppFunction]
    entities: Mapping[str, AppFunction]


def load_app(app_dir: Path) -> App:
    """Import an app's entry module and index its functions.

    Args:
        app_dir: Folder with ``function_app.py``; is put on the import path.

    Raises:
        AppLoadError: The module can't be imported, or a function can't work in Azure.
    """
    return index_app(_find_register(_import_entry(app_dir)))


def index_app(register: Any) -> App:
    """Index the functions of an app object, each once and for all.

    Raises:
        AppLoadError: A function can't work in Azure.
    """
    try:
        indexed = register.get_functions()
    except Exception as error:
        raise AppLoadError(f"the functions can't be indexed: {error}") from error
    functions = [_to_function(one) for one in indexed]
    return App(
        functions=_by_name(functions, lambda one: one.name, "function"),
        orchestrators=_durable(functions, "orchestrationTrigger", "orchestrator"),
        activities=_durable(functions, "activityTrigger", "activity"),
        entities=_durable(functions, "entityTrigger", "entity"),
    )


def _import_entry(app_dir: Path) -> ModuleType:
    path = app_dir / "function_app.py"
    if not path.is_file():
        raise AppLoadError(f"{path} is missing: only the Python v2 programming model is supported")
    sys.path.insert(0, str(app_dir))
    try:
        return importlib.import_module("function_app")
    except Exception as error:
        sys.stderr.write(traceback.format_exc())
        raise AppLoadError(f"{path} can't be imported: {type(error).__name__}: {error}") from error


def _find_register(module: ModuleType) -> Any:
    found = [
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, FunctionRegister)
    ]
    if len(found) != 1:
        names = ", ".join(name for name, _ in found) or "none"
        raise AppLoadError(
            f"function_app.py must hold exactly one app object under one name; found: {names}"
        )
    return found[0][1]


def _to_function(indexed: Any) -> AppFunction:
    name = indexed.get_function_name()
    if not _NAME.fullmatch(name) or name.lower() == "host":
        raise AppLoadError(
            f"the function name '{name}' is refused: a letter, then letters, digits, _ or -, at "
            "most 128 in all, and not 'host'"
        )
    trigger = indexed.get_trigger()
    if trigger is None:
        raise AppLoadError(f"the function '{name}' has no trigger")
    call = indexed.get_user_function()
    bindings = tuple(binding.get_dict_repr() for binding in indexed.get_bindings())
    function = AppFunction(
        name=name,
        call=call,
        trigger=trigger.get_dict_repr(),
        bindings=bindings,
        is_async=inspect.iscoroutinefunction(call),
        takes_context=_takes_context(call, bindings),
    )
    _check_durable_wrappers(function)
    _check_parameters(function)
    return function


def _takes_context(call: Callable[..., Any], bindings: tuple[Mapping[str, Any], ...]) -> bool:
    bound = {binding["name"] for binding in bindings}
    return "context" in inspect.signature(call).parameters and "context" not in bound


def _check_durable_wrappers(function: AppFunction) -> None:
    name, kind = function.name, function.trigger_type
    inner = getattr(
        function.call, "orchestrator_function", getattr(function.call, "entity_function", None)
    )
    if kind in ("orchestrationTrigger", "entityTrigger"):
        word = "orchestrator" if kind == "orchestrationTrigger" else "entity"
        if function.trigger["name"] != "context":
            raise AppLoadError(
                f"the {word} '{name}' has context_name='{function.trigger['name']}'; only "
                "context_name='context' loads in Azure"
            )
        if inner is not None and (
            inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
        ):
            raise AppLoadError(
                f"the {word} '{name}' is async; it must be a plain "
                f"{'generator ' if word == 'orchestrator' else ''}function"
            )
    if kind == "orchestrationTrigger" and function.durable_name.startswith("@"):
        raise AppLoadError(f"the orchestrator '{name}' has a durable name that begins with @")
    client = getattr(function.call, "client_function", None)
    while client is not None and hasattr(client, "client_function"):
        client = client.client_function
    if client is not None and not inspect.iscoroutinefunction(client):
        raise AppLoadError(
            f"the function '{name}' takes a Durable client and is not 'async def'; it would fail "
            "at its first call"
        )


def _check_parameters(function: AppFunction) -> None:
    parameters = inspect.signature(function.call).parameters
    bound = {b["name"] for b in function.bindings if b["name"] != "$return"}
    wanted = set(parameters) - ({"context"} if function.takes_context else set())
    if missing := sorted(bound - set(parameters)):
        raise AppLoadError(
            f"the function '{function.name}' has no parameter for its binding {', '.join(missing)}"
        )
    if unbound := sorted(wanted - bound):
        raise AppLoadError(
            f"the function '{function.name}' has a parameter without a binding: "
            f"{', '.join(unbound)}"
        )
    hints = _read_hints(function)
    for binding in function.bindings:
        hint = hints.get(binding["name"])
        if hint is not None:
            _check_annotation(function.name, binding, hint)
    if function.takes_context and hints.get("context") not in (None, func.Context):
        hint = hints["context"]
        if getattr(hint, "__name__", "") != "Context":
            raise AppLoadError(
                f"the parameter 'context' of '{function.name}' must be a func.Context"
            )


def _read_hints(function: AppFunction) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(function.call)
    except Exception as error:
        raise AppLoadError(
            f"the annotations of '{function.name}' can't be resolved: {error}"
        ) from error


def _check_annotation(name: str, binding: Mapping[str, Any], hint: Any) -> None:
    is_out = typing.get_origin(hint) is func.Out or hint is func.Out
    if is_out != (str(binding.get("direction", "IN")).upper() == "OUT"):
        raise AppLoadError(
            f"the parameter '{binding['name']}' of '{name}' "
            + ("is func.Out but its binding is an input" if is_out else "must be a func.Out")
        )
    converter = func.get_binding_registry().get(binding["type"])
    if is_out or converter is None or not isinstance(hint, type):
        return
    if not converter.check_input_type_annotation(hint):
        raise AppLoadError(
            f"the parameter '{binding['name']}' of '{name}' is annotated with {hint.__name__}, "
            f"which a {binding['type']} can't give"
        )


def _durable(functions: list[AppFunction], kind: str, word: str) -> Mapping[str, AppFunction]:
    chosen = [one for one in functions if one.trigger_type == kind]
    return _by_name(chosen, lambda one: one.durable_name, word)


def _by_name(
    functions: list[AppFunction], name_of: Callable[[AppFunction], str], word: str
) -> Mapping[str, AppFunction]:
    named: dict[str, AppFunction] = {}
    for function in functions:
        key = name_of(function).lower()
        if key in named:
            raise AppLoadError(f"two functions share the {word} name '{name_of(function)}'")
        named[key] = function
    return named
