"""The part of Terraform's plugin protocol 6 that a provider in memory needs.

The numbers are those of ``tfplugin6.proto``; fields that nobody reads are left out.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Field = descriptor_pb2.FieldDescriptorProto

SERVICE = "tfplugin6.Provider"
ERROR = 1
NESTING = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}

# message: field: (number, type, is repeated)
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "Attribute": {
        "name": (1, "string", False),
        "type": (2, "bytes", False),
        "required": (4, "bool", False),
        "optional": (5, "bool", False),
        "computed": (6, "bool", False),
        "sensitive": (7, "bool", False),
        "deprecated": (9, "bool", False),
    },
    "Block": {
        "attributes": (2, "Attribute", True),
        "block_types": (3, "NestedBlock", True),
        "deprecated": (6, "bool", False),
    },
    "NestedBlock": {
        "type_name": (1, "string", False),
        "block": (2, "Block", False),
        # An enumeration, which the wire carries as a number.
        "nesting": (3, "int64", False),
        "min_items": (4, "int64", False),
        "max_items": (5, "int64", False),
    },
    "Schema": {"version": (1, "int64", False), "block": (2, "Block", False)},
    # A map, which the wire carries as a list of entries.
    "NamedSchema": {"key": (1, "string", False), "value": (2, "Schema", False)},
    "ProviderSchema": {
        "provider": (1, "Schema", False),
        "resource_schemas": (2, "NamedSchema", True),
        "data_source_schemas": (3, "NamedSchema", True),
    },
    "Value": {"msgpack": (1, "bytes", False), "json": (2, "bytes", False)},
    "Diagnostic": {
        # An enumeration, which the wire carries as a number.
        "severity": (1, "int64", False),
        "summary": (2, "string", False),
        "detail": (3, "string", False),
    },
    "RawState": {"json": (1, "bytes", False)},
    "ConfigRequest": {"type_name": (1, "string", False), "config": (2, "Value", False)},
    "UpgradeRequest": {"type_name": (1, "string", False), "raw_state": (3, "RawState", False)},
    "ReadRequest": {
        "type_name": (1, "string", False),
        "current_state": (2, "Value", False),
        "private": (3, "bytes", False),
    },
    "ChangeRequest": {
        "type_name": (1, "string", False),
        "prior_state": (2, "Value", False),
        # Proposed when it is to be planned, planned when it is to be applied.
        "new_state": (3, "Value", False),
        "config": (4, "Value", False),
        "private": (5, "bytes", False),
    },
    "Verdict": {"diagnostics": (1, "Diagnostic", True)},
    "StateAnswer": {
        "state": (1, "Value", False),
        "diagnostics": (2, "Diagnostic", True),
        "private": (3, "bytes", False),
    },
    "PlanAnswer": {
        "state": (1, "Value", False),
        "private": (3, "bytes", False),
        "diagnostics": (4, "Diagnostic", True),
        "legacy_type_system": (5, "bool", False),
    },
    "ApplyAnswer": {
        "state": (1, "Value", False),
        "private": (2, "bytes", False),
        "diagnostics": (3, "Diagnostic", True),
        "legacy_type_system": (4, "bool", False),
    },
}

_SCALARS = {
    "string": Field.TYPE_STRING,
    "bytes": Field.TYPE_BYTES,
    "bool": Field.TYPE_BOOL,
    "int64": Field.TYPE_INT64,
}


def _describe() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="tfplugin6.proto", package="tfplugin6", syntax="proto3"
    )
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind, is_repeated) in fields.items():
            field = described.field.add(name=name, number=number)
            field.label = Field.LABEL_REPEATED if is_repeated else Field.LABEL_OPTIONAL
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type, field.type_name = Field.TYPE_MESSAGE, f".tfplugin6.{kind}"
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_describe())


def message_class(name: str) -> Any:
    """Give the class of a message."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"tfplugin6.{name}"))
