"""The file with the contract of a service, which is committed: what clients rely on, without its texts."""

from __future__ import annotations

from typing import Any

import msgspec

from toto_aio.contract.interface import Interface, Operation
from toto_aio.contract.types import Schema

VERSION = 1
TEXTS = frozenset({"description", "title", "examples", "default", "contentMediaType"})
"""What a schema has that no client depends on."""


def write_contract(interface: Interface) -> str:
    """The contract as JSON, in an order of its own: it changes when the contract does."""
    methods = {}
    for method in interface.methods.values():
        kept = Operation(
            "",
            bare(method.parameters),
            bare(method.result),
            files=method.files,
            session=method.session,
            roles=tuple(sorted(method.roles)),
            fresh=method.fresh,
            is_safe=method.is_safe,
            is_raw=method.is_raw,
            is_deprecated=method.is_deprecated,
            is_idempotent=method.is_idempotent,
            rates=method.rates,
        )
        methods[method.name] = {key: value for key, value in msgspec.to_builtins(kept).items() if value}
    types = {name: bare(schema) for name, schema in interface.types.items()}
    text = msgspec.json.encode({"version": VERSION, "methods": methods, "types": types}, order="sorted")
    return msgspec.json.format(text).decode() + "\n"


def read_contract(text: str) -> Interface:
    """The contract in such a file. Raises ``ValueError``."""
    found = msgspec.json.decode(text, type=_File)
    if found.version != VERSION:
        raise ValueError(f"it has version {found.version}, and this toto_aio reads version {VERSION}")
    methods = {
        name: msgspec.convert({"parameters": {}, "result": True, **method, "name": name}, Operation)
        for name, method in found.methods.items()
    }
    return Interface(methods, found.types)


def bare(schema: Any) -> Any:
    """A schema without texts, at any depth."""
    if not isinstance(schema, dict):
        return schema
    found: Schema = {}
    for name, value in schema.items():
        if name in ("properties", "$defs") and isinstance(value, dict):
            found[name] = {each: bare(below) for each, below in value.items()}
        elif name in ("items", "additionalProperties"):
            found[name] = bare(value)
        elif name in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            found[name] = [bare(each) for each in value]
        elif name not in TEXTS:
            found[name] = value
    return found


class _File(msgspec.Struct):
    version: int
    methods: dict[str, dict[str, Any]]
    types: dict[str, dict[str, Any]] = {}
