"""Methods to call from the shell."""

from __future__ import annotations

import asyncio
from typing import Any

from toto_aio import Handler, method
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    default_parameters,
    idempotent,
    raw_response,
    requires,
    safe,
)
from toto_aio.methods import account

__all__ = ["account"]

Parameters = dict[str, Any]


@method
@requires("name")
@default_parameters({"greeting": "Hello", "times": 1})
async def greet(handler: Handler, parameters: Parameters) -> Any:
    """Greet somebody."""
    return parameters


@method
async def files(handler: Handler, parameters: Parameters) -> Any:
    """Show a form."""
    sent = parameters["files"]
    shown = {name: [[each["filename"], each["body"].decode()] for each in sent[name]] for name in sent}
    return [parameters["arguments"], shown]


@method
@anonymous_session
async def visit(handler: Handler, parameters: Parameters) -> int:
    """Make a session without a user."""
    return 1


PAID: list[int] = []


@method
@authenticated
@idempotent
async def pay(amount: int) -> int:
    """Pay an amount; say how much it is in all."""
    PAID.append(amount)
    return sum(PAID)


@method
@raw_response
async def picture(handler: Handler, parameters: Parameters) -> bytes:
    """Give bytes."""
    return b"\x89PNG\xff"


@method
async def move(handler: Handler, parameters: Parameters) -> None:
    """Lead somewhere else."""
    handler.redirect("/elsewhere")


@method
@safe
async def wait() -> None:
    """Take long."""
    await asyncio.sleep(600)


@method
async def broken() -> None:
    """Fail."""
    raise KeyError("x")
