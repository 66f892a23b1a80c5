"""What host.json and local.settings.json say, read once."""

import json
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from localcloud.functions_host.errors import AppLoadError

SCRIPT_SETTING = "PYTHON_SCRIPT_FILE_NAME"
"""App setting that names the entry module."""
OVERLAY_PREFIX = "AzureFunctionsJobHost__"
"""Settings of this prefix override host.json, one path step between double underscores."""


@dataclass(frozen=True)
class HostSettings:
    """The part of host.json that this host keeps to.

    Attributes:
        route_prefix: What HTTP routes begin with, without slashes; may be empty.
        hub_name: Name of the Durable task hub.
        max_concurrent_activities: Most activities that run at the same time.
        max_entity_batch: Most operations of one entity batch.
        http_poll_interval: Pause between polls of ``call_http``.
        function_timeout: Longest run of an activity; None for no limit.
        replaces_live_instances: Whether a start takes the place of a live instance of that id.
        max_concurrent_blobs: Most blobs that one blob function works on at the same time.
        blob_attempts: Deliveries of a blob after which it is given up.
        default_version: Version of orchestrations that are started without one; "" for none.
        chosen_functions: Lower-cased names of the only functions that run; None for all.
    """

    route_prefix: str = "api"
    hub_name: str = "TestHubName"
    max_concurrent_activities: int = 10
    max_entity_batch: int = 5000
    http_poll_interval: timedelta = timedelta(seconds=30)
    function_timeout: timedelta | None = timedelta(minutes=30)
    replaces_live_instances: bool = False
    max_concurrent_blobs: int = 8
    blob_attempts: int = 5
    default_version: str = ""
    chosen_functions: frozenset[str] | None = None


def load_app_settings(app_dir: Path, environ: MutableMapping[str, str]) -> None:
    """Put the ``Values`` of local.settings.json into the environment, without overriding.

    Raises:
        AppLoadError: The file is no JSON object of texts, or is encrypted.
    """
    path = app_dir / "local.settings.json"
    if not path.exists():
        return
    document = _read_json(path)
    if document.get("IsEncrypted"):
        raise AppLoadError(f"{path} is encrypted: run 'func settings decrypt' first")
    values = document.get("Values") or {}
    if not isinstance(values, dict):
        raise AppLoadError(f"'Values' in {path} must be an object of texts")
    for name, value in values.items():
        environ.setdefault(name, str(value))


def read_host_settings(app_dir: Path, environ: Mapping[str, str]) -> HostSettings:
    """Read host.json, overlaid by the environment.

    Raises:
        AppLoadError: The file is missing or not JSON, or asks for what this host does not have.
    """
    path = app_dir / "host.json"
    if not path.exists():
        raise AppLoadError(f"{path} is missing: every function app has a host.json")
    document = _read_json(path)
    _overlay(document, environ)
    extensions = document.get("extensions") or {}
    durable = extensions.get("durableTask") or {}
    http = extensions.get("http") or {}
    blobs = extensions.get("blobs") or {}
    _check_versioning(durable)
    chosen = {str(name).lower() for name in document.get("functions") or ()}
    poll_ms = (durable.get("httpSettings") or {}).get("defaultAsyncRequestSleepTimeMilliseconds")
    return HostSettings(
        route_prefix=str(http.get("routePrefix", "api")).strip("/"),
        hub_name=resolve(str(durable.get("hubName", "TestHubName")), environ),
        max_concurrent_activities=int(
            durable.get("maxConcurrentActivityFunctions") or 10 * (os.cpu_count() or 1)
        ),
        max_entity_batch=int(durable.get("maxEntityOperationBatchSize") or 5000),
        http_poll_interval=timedelta(milliseconds=float(poll_ms or 30_000)),
        function_timeout=_read_timeout(document.get("functionTimeout")),
        replaces_live_instances=str(durable.get("overridableExistingInstanceStates", "")).lower()
        == "anystate",
        max_concurrent_blobs=int(blobs.get("maxDegreeOfParallelism") or 8 * (os.cpu_count() or 1)),
        blob_attempts=int(blobs.get("poisonBlobThreshold") or 5),
        default_version=str(durable.get("defaultVersion") or ""),
        chosen_functions=frozenset(chosen) or None,
    )


def is_disabled(name: str, settings: HostSettings, environ: Mapping[str, str]) -> bool:
    """Tell whether a function is turned off.

    Args:
        name: Its function name; its case counts for nothing.
        settings: ``functions`` of host.json leaves out whatever it does not name.
        environ: ``AzureWebJobs.<name>.Disabled`` or, as Linux wants it,
            ``AzureWebJobs_<name>_Disabled`` turns it off with "true" or "1".
    """
    if settings.chosen_functions is not None and name.lower() not in settings.chosen_functions:
        return True
    names = {f"azurewebjobs.{name}.disabled".lower(), f"azurewebjobs_{name}_disabled".lower()}
    return any(
        key.lower() in names and value.strip().lower() in ("true", "1")
        for key, value in environ.items()
    )


def parse_timespan(text: str) -> timedelta | None:
    """Read .NET's ``[d.]hh:mm:ss[.fff]``; None if the text is something else."""
    match = re.fullmatch(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = match.groups()
    return timedelta(
        days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=float(seconds)
    )


def resolve(text: str, environ: Mapping[str, str]) -> str:
    """Put the settings named between percent signs in their places; an unknown one stays."""
    return re.sub(r"%([^%]+)%", lambda match: environ.get(match[1], match[0]), text)


def _read_timeout(value: object) -> timedelta | None:
    if value is None:
        return HostSettings.function_timeout
    if str(value) == "-1":
        return None
    timeout = parse_timespan(str(value))
    if timeout is None:
        raise AppLoadError(f"functionTimeout in host.json is {value!r}, not hh:mm:ss")
    return timeout


def _check_versioning(durable: Mapping[str, Any]) -> None:
    for name, default in (
        ("versionMatchStrategy", "CurrentOrOlder"),
        ("versionFailureStrategy", "Reject"),
    ):
        value = str(durable.get(name) or default)
        if value.lower() != default.lower():
            raise AppLoadError(
                f"{name} in host.json is '{value}', which this host does not have: leave it out "
                f"or set it to {default}"
            )


def _overlay(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    for name, value in environ.items():
        if not name.startswith(OVERLAY_PREFIX):
            continue
        *path, last = name.removeprefix(OVERLAY_PREFIX).split("__")
        place = document
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_strip_comments(path.read_text("utf-8-sig")))
    except ValueError as error:
        raise AppLoadError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise AppLoadError(f"{path} must hold a JSON object")
    return document


def _strip_comments(text: str) -> str:
    """Take out what Azure reads over in JSON: comments, and a comma before a closing bracket."""
    string = r'("(?:[^"\\]|\\.)*")'
    text = re.sub(rf"{string}|//[^\n]*|/\*.*?\*/", lambda m: m[1] or " ", text, flags=re.DOTALL)
    return re.sub(rf"{string}|,(?=\s*[}}\]])", lambda m: m[1] or "", text, flags=re.DOTALL)
