"""An azurerm provider that knows the schema, and of azurerm's code what `cloud` knows.

Terraform checks a configuration against it, plans with mocked values, or applies to a cloud in
memory; there is no network. Much of what azurerm and Azure check by code it does not know: most
forms of values, arguments that exclude each other, changes that replace a resource.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import grpc

from tests.infra.cloud import Cloud, CloudError
from tests.infra.plugin_protocol import ERROR, NESTING, SERVICE, message_class
from tests.infra.values import UNKNOWN, decode, encode

SOURCE = "registry.terraform.io/hashicorp/azurerm"
TABLE = Path(__file__).with_name("azurerm-4.81.0.json")


def read_table(path: Path = TABLE) -> dict[str, Any]:
    """Give azurerm's part of what ``terraform providers schema -json`` printed."""
    table: dict[str, Any] = json.loads(path.read_text("utf-8"))["provider_schemas"][SOURCE]
    return table


@contextmanager
def serve(table: Mapping[str, Any], cloud: Cloud) -> Iterator[dict[str, str]]:
    """Serve a schema and a cloud on a port of this machine.

    Yields:
        The environment under which Terraform uses this provider instead of downloading one.
    """
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((_Provider(table, cloud),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    reattach = {
        SOURCE: {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
        }
    }
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps(reattach)}
    finally:
        server.stop(grace=None).wait()


class _Provider(grpc.GenericRpcHandler):
    """Answers what Terraform asks; what it does not know with an empty message: no objection."""

    def __init__(self, table: Mapping[str, Any], cloud: Cloud) -> None:
        self._blocks = {name: one["block"] for name, one in table["resource_schemas"].items()}
        self._cloud = cloud
        schema = _encode_provider(table)
        self._answers: dict[str, Callable[[bytes], bytes]] = {
            "GetProviderSchema": lambda _: schema,
            "ConfigureProvider": self._configure,
            "ValidateResourceConfig": self._validate,
            "UpgradeResourceState": self._upgrade,
            "ReadResource": self._read,
            "PlanResourceChange": self._plan,
            "ApplyResourceChange": self._apply,
            "ReadDataSource": self._look_up,
        }
        # Terraform asks for many resources at once, and a cloud is one.
        self._lock = Lock()

    def service(self, handler_call_details: Any) -> Any:
        package, _, method = handler_call_details.method.lstrip("/").partition("/")
        if package != SERVICE or method == "GetMetadata":
            return None
        answer = self._answers.get(method, lambda _: b"")
        return grpc.unary_unary_rpc_method_handler(self._locked(answer))

    def _locked(self, answer: Callable[[bytes], bytes]) -> Callable[[bytes, Any], bytes]:
        def locked(request: bytes, _: Any) -> bytes:
            with self._lock:
                return answer(request)

        return locked

    def _configure(self, request: bytes) -> bytes:
        self._cloud.configure(_value(_read_message("ConfigRequest", request).config))
        return b""

    def _validate(self, request: bytes) -> bytes:
        asked = _read_message("ConfigRequest", request)
        complaints = self._cloud.find_complaints(asked.type_name, _value(asked.config))
        return _write("Verdict", diagnostics=[_error(one) for one in complaints])

    def _upgrade(self, request: bytes) -> bytes:
        asked = _read_message("UpgradeRequest", request)
        return _write("StateAnswer", state={"json": asked.raw_state.json})

    def _read(self, request: bytes) -> bytes:
        asked = _read_message("ReadRequest", request)
        found = self._cloud.read(_value(asked.current_state)["id"])
        return _write("StateAnswer", state=_message(found), private=asked.private)

    def _plan(self, request: bytes) -> bytes:
        asked = _read_message("ChangeRequest", request)
        planned = _value(asked.new_state)
        if planned is not None and _value(asked.prior_state) is None:
            planned = _leave_open(self._blocks[asked.type_name], planned)
        return _write(
            "PlanAnswer", state=_message(planned), private=asked.private, legacy_type_system=True
        )

    def _apply(self, request: bytes) -> bytes:
        asked = _read_message("ChangeRequest", request)
        before, after = _value(asked.prior_state), _value(asked.new_state)
        faults = []
        try:
            if after is None:
                self._cloud.delete(before["id"])
            else:
                after = _settle(self._blocks[asked.type_name], after)
                change = self._cloud.create if before is None else self._cloud.update
                after = change(asked.type_name, after)
        except CloudError as error:
            after, faults = before, [_error(str(error))]
        return _write(
            "ApplyAnswer", state=_message(after), diagnostics=faults, legacy_type_system=True
        )

    def _look_up(self, request: bytes) -> bytes:
        asked = _read_message("ConfigRequest", request)
        try:
            found = self._cloud.look_up(asked.type_name, _value(asked.config))
        except CloudError as error:
            return _write("StateAnswer", diagnostics=[_error(str(error))])
        return _write("StateAnswer", state=_message(found))


def _read_message(kind: str, data: bytes) -> Any:
    return message_class(kind).FromString(data)


def _write(kind: str, **fields: Any) -> bytes:
    written: bytes = message_class(kind)(**fields).SerializeToString()
    return written


def _value(message: Any) -> Any:
    return decode(message.msgpack)


def _message(value: Any) -> dict[str, bytes]:
    return {"msgpack": encode(value)}


def _error(text: str) -> dict[str, Any]:
    return {"severity": ERROR, "summary": text}


def _leave_open(block: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Make unknown what a new resource is not told and Azure decides."""
    opened = dict(values)
    for name, attribute in block.get("attributes", {}).items():
        if attribute.get("computed") and values.get(name) is None:
            opened[name] = UNKNOWN
    for name, nested in block.get("block_types", {}).items():
        if isinstance(values.get(name), list):
            opened[name] = [
                _leave_open(nested["block"], one) if isinstance(one, dict) else one
                for one in values[name]
            ]
    return opened


def _settle(block: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Give what is still unknown an empty value of its type; texts are the cloud's to decide."""
    settled = dict(values)
    for name, attribute in block.get("attributes", {}).items():
        if values.get(name) is UNKNOWN and attribute["type"] != "string":
            kind = attribute["type"]
            empty: dict[str, Any] = {"bool": False, "number": 0, "map": {}}
            settled[name] = empty.get(kind if isinstance(kind, str) else kind[0], [])
    for name, nested in block.get("block_types", {}).items():
        if isinstance(values.get(name), list):
            settled[name] = [_settle(nested["block"], one) for one in values[name]]
    return settled


def _encode_provider(table: Mapping[str, Any]) -> bytes:
    return message_class("ProviderSchema")(
        provider=_schema(table["provider"]),
        resource_schemas=_named(table["resource_schemas"]),
        data_source_schemas=_named(table["data_source_schemas"]),
    ).SerializeToString()


def _named(schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _schema(schema)} for name, schema in schemas.items()]


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": schema.get("version", 0), "block": _block(schema["block"])}


def _block(block: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "attributes": [
            {**attribute, "name": name, "type": json.dumps(attribute["type"]).encode()}
            for name, attribute in block.get("attributes", {}).items()
        ],
        "block_types": [
            {
                "type_name": name,
                "block": _block(nested["block"]),
                "nesting": NESTING[nested["nesting_mode"]],
                "min_items": nested.get("min_items", 0),
                "max_items": nested.get("max_items", 0),
            }
            for name, nested in block.get("block_types", {}).items()
        ],
    }
