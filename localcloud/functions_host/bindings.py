"""Values of a function's parameters, made by the converters of azure-functions themselves."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import azure.functions as func
from azure.functions.meta import Datum

from localcloud.functions_host.blob_source import BlobContent, BlobVersion
from localcloud.functions_host.loader import AppFunction
from localcloud.functions_host.moments import to_history_text


class InvocationContext(func.Context):  # type: ignore[misc]
    """The ``context: func.Context`` of one invocation."""

    def __init__(self, invocation_id: str, function_name: str, directory: str) -> None:
        self._invocation_id = invocation_id
        self._function_name = function_name
        self._directory = directory

    @property
    def invocation_id(self) -> str:
        """Id of this invocation."""
        return self._invocation_id

    @property
    def thread_local_storage(self) -> Any:
        """Not kept: logs of this host carry no invocation id."""
        return None

    @property
    def function_name(self) -> str:
        """Name of the function."""
        return self._function_name

    @property
    def function_directory(self) -> str:
        """Folder of the app."""
        return self._directory

    @property
    def trace_context(self) -> Any:
        """No trace."""
        return None

    @property
    def retry_context(self) -> Any:
        """No retry."""
        return None


def decode(kind: str, datum: Datum, metadata: Mapping[str, Datum] | None = None) -> Any:
    """Turn what the host sends into what the function gets.

    Args:
        kind: Binding type.
        datum: What the host would put on the wire.
        metadata: What it would tell of the trigger besides.
    """
    return func.get_binding_registry().get(kind).decode(datum, trigger_metadata=metadata)


def decode_trigger(
    function: AppFunction, datum: Datum, metadata: Mapping[str, Datum] | None = None
) -> dict[str, Any]:
    """Make the argument of a function's trigger.

    Args:
        function: Which one.
        datum: What the host would put on the wire.
        metadata: What it would tell of the trigger besides.

    Returns:
        The value by the trigger's parameter; undecoded if the function asks for str or bytes.
    """
    value = datum.value if function.takes_raw else decode(function.trigger_type, datum, metadata)
    return {str(function.trigger["name"]): value}


def encode_result(kind: str, value: Any) -> Datum:
    """Turn what a function returned into what goes back to the host.

    Args:
        kind: Binding type of the return value, such as ``http``.
        value: What the function returned.

    Raises:
        NotImplementedError: The converter knows no such value.
        ValueError: The value can't be written as JSON.
    """
    return func.get_binding_registry().get(kind).encode(value, expected_type=None)


def to_http_datum(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    query: Iterable[tuple[str, str]],
    params: Mapping[str, str],
    body: bytes,
) -> Datum:
    """Build the datum of an HTTP request as the host does.

    A header or query name that comes more than once has its values joined with commas.

    Args:
        method: HTTP method.
        url: Whole URL.
        headers: Names and values; names are lower-cased.
        query: Names and values; what is empty is left out.
        params: Route values.
        body: Whole body.
    """
    return Datum(
        {
            "method": Datum(method, "string"),
            "url": Datum(url, "string"),
            "headers": {
                name.lower(): Datum(value, "string") for name, value in _join(headers).items()
            },
            "query": {
                name: Datum(value, "string") for name, value in _join(query).items() if value
            },
            "params": {name: Datum(value, "string") for name, value in params.items()},
            "body": Datum(body, "bytes"),
        },
        "http",
    )


def _join(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Join the values of names that differ by their case at most; the first spelling stays."""
    spelled: dict[str, str] = {}
    joined: dict[str, list[str]] = {}
    for name, value in pairs:
        joined.setdefault(spelled.setdefault(name.lower(), name), []).append(value)
    return {name: ",".join(values) for name, values in joined.items()}


def to_timer_datum(
    *, last_at: datetime | None, next_at: datetime, updated_at: datetime, is_past_due: bool
) -> Datum:
    """Build the datum of a timer's run.

    Args:
        last_at: Its run before this one.
        next_at: Its run after this one.
        updated_at: When that was computed.
        is_past_due: Whether it should have run earlier.
    """
    return Datum(
        json.dumps(
            {
                "Schedule": {"AdjustForDST": True},
                "ScheduleStatus": {
                    "Last": "0001-01-01T00:00:00" if last_at is None else to_history_text(last_at),
                    "Next": to_history_text(next_at),
                    "LastUpdated": to_history_text(updated_at),
                },
                "IsPastDue": is_past_due,
            }
        ),
        "json",
    )


def to_blob_datum(
    container: str, version: BlobVersion, content: BlobContent, tokens: Mapping[str, str]
) -> tuple[Datum, dict[str, Datum]]:
    """Build the datum of a blob and its trigger metadata.

    Args:
        container: Where it lies.
        version: Which one.
        content: What it holds.
        tokens: What the tokens of the trigger's path stand for.
    """
    properties = {
        "ContentLength": len(content.data),
        "ContentType": content.content_type,
        "CreatedOn": content.created_at.isoformat(),
        "ETag": f'"{version.etag}"',
        "LastModified": content.modified_at.isoformat(),
    }
    return Datum(content.data, "bytes"), {
        # A token must not hide what the host says.
        **{name: Datum(value, "string") for name, value in tokens.items()},
        "BlobTrigger": Datum(f"{container}/{version.name}", "string"),
        "Uri": Datum(json.dumps(content.uri), "json"),
        "Properties": Datum(json.dumps(properties), "json"),
        "Metadata": Datum(json.dumps(dict(content.metadata)), "json"),
    }


def to_client_text(*, public_url: str, rpc_url: str, hub_name: str, key: str) -> str:
    """Write what a Durable client parameter is made from.

    Args:
        public_url: Origin of the host, without a slash at the end.
        rpc_url: The loopback management API, with a slash at the end.
        hub_name: Task hub.
        key: System key of the public management API.
    """
    base = f"{public_url}/runtime/webhooks/durabletask"
    code = f"code={quote(key)}"
    common = f"taskHub={quote(hub_name)}&connection=AzureWebJobsStorage&{code}"
    instance = f"{base}/instances/INSTANCEID"
    create = f"{base}/orchestrators/{{functionName}}[/{{instanceId}}]?{code}"
    return json.dumps(
        {
            "taskHubName": hub_name,
            "connectionName": "AzureWebJobsStorage",
            "creationUrls": {
                "createNewInstancePostUri": create,
                "createAndWaitOnNewInstancePostUri": create
                + "&timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}",
            },
            "managementUrls": {
                "id": "INSTANCEID",
                "statusQueryGetUri": f"{instance}?{common}",
                "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{common}",
                "terminatePostUri": f"{instance}/terminate?reason={{text}}&{common}",
                "rewindPostUri": f"{instance}/rewind?reason={{text}}&{common}",
                "purgeHistoryDeleteUri": f"{instance}?{common}",
                "restartPostUri": f"{instance}/restart?{common}",
                "suspendPostUri": f"{instance}/suspend?reason={{text}}&{common}",
                "resumePostUri": f"{instance}/resume?reason={{text}}&{common}",
            },
            "baseUrl": base,
            "requiredQueryStringParameters": code,
            "rpcBaseUrl": rpc_url,
        }
    )
