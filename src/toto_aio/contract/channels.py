"""The channels of a service in its OpenAPI document, which has no word for them: ``x-channels``."""

from __future__ import annotations

from typing import Any

from toto_aio.contract.operations import documented
from toto_aio.contract.policy import described_policy
from toto_aio.contract.schema import Schemas
from toto_aio.contract.security import requirements
from toto_aio.contract.types import Schema
from toto_aio.dispatch.method import Method
from toto_aio.settings import Settings


def described_channel(function: Method, settings: Settings, schemas: Schemas) -> dict[str, Any]:
    """The channels that a function admits to: what their names have, and what comes with a subscription."""
    channel = function.rules.channel
    assert channel is not None
    taken = schemas.body(function).get("properties", {})
    names = channel.variables
    variables: Schema = {
        "type": "object",
        "properties": {name: taken.get(name, {"type": "string"}) for name in names},
        "additionalProperties": False,
    }
    if names:
        variables["required"] = sorted(names)
    return {
        "pattern": channel.pattern,
        **documented(function.documentation),
        "variables": variables,
        "data": schemas.result(function),
        "history": channel.history,
        "security": requirements(function, settings),
        **described_policy(function.rules),
    }
