"""An azurerm provider that knows the schema and nothing else.

Terraform checks a configuration against it and plans with mocked values; nothing is read, created
or called, and there is no network. What it can't know is what azurerm and Azure check by code: the
form of a value, two arguments that exclude each other, a value for what only Azure decides.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from tests.infra.plugin_protocol import NESTING, SERVICE, ProviderSchema

SOURCE = "registry.terraform.io/hashicorp/azurerm"
TABLE = Path(__file__).with_name("azurerm-4.81.0.json")


def read_table(path: Path = TABLE) -> dict[str, Any]:
    """Give azurerm's part of what ``terraform providers schema -json`` printed."""
    table: dict[str, Any] = json.loads(path.read_text("utf-8"))["provider_schemas"][SOURCE]
    return table


@contextmanager
def serve(table: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Serve the schema on a port of this machine.

    Yields:
        The environment under which Terraform uses this provider instead of downloading one.
    """
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((_Provider(table),))
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
    """Answers the schema; everything else with an empty message, which means: no objection."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._schema = _encode_provider(table)

    def service(self, handler_call_details: Any) -> Any:
        package, _, method = handler_call_details.method.lstrip("/").partition("/")
        if package != SERVICE or method == "GetMetadata":
            return None
        answer = self._schema if method == "GetProviderSchema" else b""
        return grpc.unary_unary_rpc_method_handler(_constantly(answer))


def _constantly(answer: bytes) -> Callable[[bytes, Any], bytes]:
    return lambda _request, _context: answer


def _encode_provider(table: Mapping[str, Any]) -> bytes:
    return ProviderSchema(
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
