"""Finds the functions of an app as the Azure worker does, and refuses what can't work there.

Several mistakes pass every decorator and fail in Azure only, some of them in silence. Here each is
one sentence at the start.
"""

import collections.abc
import importlib
import inspect
import re
import sys
import traceback
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
_SCRIPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\.py")


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
        takes_raw: Whether its trigger's parameter is annotated with ``str`` or ``bytes`` and so
            gets what the host sends, undecoded.
    """

    name: str
    call: Callable[..., Any]
    trigger: Mapping[str, Any]
    bindings: tuple[Mapping[str, Any], ...]
    is_async: bool
    takes_context: bool
    takes_raw: bool = False

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
        disabled: Functions that an app setting or host.json turns off, by function name. They are
            in none of the others.
    """

    functions: Mapping[str, AppFunction]
    orchestrators: Mapping[str, AppFunction]
    activities: Mapping[str, AppFunction]
    entities: Mapping[str, AppFunction]
    disabled: Mapping[str, AppFunction] = field(default_factory=dict)


def load_app(
    app_dir: Path,
    *,
    script: str = "function_app.py",
    is_disabled: Callable[[str], bool] = lambda _: False,
) -> App:
    """Import an app's entry module and index its functions.

    Args:
        app_dir: Folder with the entry module; is put on the import path.
        script: File name of the entry module.
        is_disabled: Tells by its name whether a function is turned off.

    Raises:
        AppLoadError: The module can't be imported, or a function can't work in Azure.
    """
    return index_app(_find_register(_import_entry(app_dir, script), script), is_disabled)


def index_app(register: Any, is_disabled: Callable[[str], bool] = lambda _: False) -> App:
    """Index the functions of an app object, each once and for all.

    Args:
        register: The app object.
        is_disabled: Tells by its name whether a function is turned off.

    Raises:
        AppLoadError: A function can't work in Azure.
    """
    try:
        indexed = register.get_functions()
    except Exception as error:
        raise AppLoadError(f"the functions can't be indexed: {error}") from error
    every = _by_name([_to_function(one) for one in indexed], lambda one: one.name, "function")
    disabled = {key: one for key, one in every.items() if is_disabled(one.name)}
    functions = [one for key, one in every.items() if key not in disabled]
    for function in functions:
        _check_served(function)
    return App(
        functions={key: one for key, one in every.items() if key not in disabled},
        disabled=disabled,
        orchestrators=_durable(functions, "orchestrationTrigger", "orchestrator"),
        activities=_durable(functions, "activityTrigger", "activity"),
        entities=_durable(functions, "entityTrigger", "entity"),
    )


def _import_entry(app_dir: Path, script: str) -> ModuleType:
    if not _SCRIPT.fullmatch(script):
        raise AppLoadError(
            f"PYTHON_SCRIPT_FILE_NAME is '{script}': it must be a file name of letters, digits, _ "
            "and - that ends in .py"
        )
    path = app_dir / script
    if not path.is_file():
        raise AppLoadError(f"{path} is missing: only the Python v2 programming model is supported")
    sys.path.insert(0, str(app_dir))
    try:
        return importlib.import_module(path.stem)
    except Exception as error:
        sys.stderr.write(traceback.format_exc())
        raise AppLoadError(f"{path} can't be imported: {type(error).__name__}: {error}") from error


def _find_register(module: ModuleType, script: str) -> Any:
    found = [
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, FunctionRegister)
    ]
    if len(found) != 1:
        names = ", ".join(name for name, _ in found) or "none"
        raise AppLoadError(
            f"{script} must hold exactly one app object under one name; found: {names}"
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
    hints = _read_hints(name, call)
    trigger_hint = hints.get(trigger.name)
    function = AppFunction(
        name=name,
        call=call,
        trigger=trigger.get_dict_repr(),
        bindings=bindings,
        is_async=inspect.iscoroutinefunction(call),
        takes_context=_takes_context(call, bindings),
        takes_raw=_is_raw(trigger.type, trigger_hint),
    )
    _check_durable_wrappers(function)
    _check_parameters(function, hints)
    _check_return(function, hints)
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


def _check_served(function: AppFunction) -> None:
    """Refuse what Azure would serve and this host does not; only a trigger that fires matters."""
    name = function.name
    if function.trigger_type not in SUPPORTED_TRIGGERS:
        return
    for binding in function.bindings:
        if binding["name"] == function.trigger["name"]:
            continue
        word = "output" if _direction(binding) == "OUT" else "input"
        if (word, binding["type"], binding["name"]) != ("output", "http", "$return") and (
            (word, binding["type"]) != ("input", "durableClient")
        ):
            raise AppLoadError(
                f"the function '{name}' has the {word} '{binding['name']}' ({binding['type']}), "
                "which this host does not serve. Use a client library in the function, or turn "
                f"the function off here with the app setting AzureWebJobs.{name}.Disabled"
            )
    if function.trigger_type == "httpTrigger":
        if function.takes_raw:
            raise AppLoadError(
                f"the function '{name}' takes its request as str or bytes; Azure loads it, but it "
                "fails at every call. Annotate the parameter with func.HttpRequest"
            )
        if not any(binding["name"] == "$return" for binding in function.bindings):
            raise AppLoadError(
                f"the HTTP function '{name}' can't answer: it has no http output named '$return'"
            )


def _direction(binding: Mapping[str, Any]) -> str:
    return str(binding.get("direction", "IN")).upper()


def _check_parameters(function: AppFunction, hints: Mapping[str, Any]) -> None:
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
    for binding in function.bindings:
        if binding["name"] in hints and binding["name"] != "$return":
            _check_annotation(function.name, binding, hints[binding["name"]])
    context = hints.get("context", func.Context)
    if function.takes_context and not (
        isinstance(context, type) and context.__name__ == "Context"
    ):
        raise AppLoadError(f"the parameter 'context' of '{function.name}' must be a func.Context")


def _read_hints(name: str, call: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(call)
    except Exception as error:
        raise AppLoadError(f"the annotations of '{name}' can't be resolved: {error}") from error


def _check_annotation(name: str, binding: Mapping[str, Any], hint: Any) -> None:
    """Judge a parameter's annotation as Azure's worker does (tests/worker_verdicts)."""
    parameter, kind = binding["name"], str(binding["type"])
    is_out = _is_out(hint)
    if is_out != (_direction(binding) == "OUT"):
        raise AppLoadError(
            f"the parameter '{parameter}' of '{name}' "
            + ("is func.Out but its binding is an input" if is_out else "must be a func.Out")
        )
    inner = hint
    if is_out:
        arguments = typing.get_args(hint)
        if len(arguments) != 1:
            raise AppLoadError(
                f"the parameter '{parameter}' of '{name}' must say what it takes out, such as "
                "func.Out[str]"
            )
        inner = arguments[0]
    if not isinstance(inner, type) and not _is_generic(inner):
        raise AppLoadError(
            f"the parameter '{parameter}' of '{name}' is annotated with {inner}; Azure loads only "
            "classes there. Annotate it with a class, or with nothing"
        )
    if not _fits("generic" if _is_raw(kind, inner) else kind, inner, is_out=is_out):
        raise AppLoadError(
            f"the parameter '{parameter}' of '{name}' is annotated with {_show(inner)}, which a "
            f"{kind} can't {'take' if is_out else 'give'}"
        )


def _check_return(function: AppFunction, hints: Mapping[str, Any]) -> None:
    kind = next((str(b["type"]) for b in function.bindings if b["name"] == "$return"), None)
    if kind is None or "return" not in hints:
        return
    hint = hints["return"]
    if _is_out(hint) or not isinstance(hint, type) or not _fits(kind, hint, is_out=True):
        wanted = "func.HttpResponse or str" if kind == "http" else "a class that it takes"
        raise AppLoadError(
            f"the function '{function.name}' is annotated to return {_show(hint)}, and Azure "
            f"refuses to load it: its {kind} output wants {wanted}, or no annotation"
        )


def _fits(kind: str, annotation: Any, *, is_out: bool) -> bool:
    converter = func.get_binding_registry().get(kind)
    try:
        if converter is None:
            return issubclass(annotation, (str, bytes, bytearray) if is_out else (str, bytes))
        if is_out:
            return bool(converter.check_output_type_annotation(annotation))
        return bool(converter.check_input_type_annotation(annotation))
    except TypeError:
        # The converter asks for a class and was given typing.List[…] or the like.
        return False


def _is_raw(kind: str, hint: Any) -> bool:
    """Tell whether a parameter gets what the host sends as it is, as a text or bytes."""
    converter = func.get_binding_registry().get(kind)
    is_implicit = (
        kind != "durableClient"
        if converter is None
        else getattr(converter, "has_implicit_output", lambda: False)()
    )
    return hint in (str, bytes) and not is_implicit


def _is_out(hint: Any) -> bool:
    origin = typing.get_origin(hint) or hint
    return isinstance(origin, type) and origin.__name__ == "Out"


def _is_generic(hint: Any) -> bool:
    """Tell whether the worker takes a form of ``typing`` for a class: not dict[…], not a union."""
    origin = typing.get_origin(hint)
    return (
        origin is not None
        and not isinstance(hint, types.GenericAlias | types.UnionType)
        and origin not in (typing.Union, tuple, typing.ClassVar, collections.abc.Callable)
    )


def _show(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


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
