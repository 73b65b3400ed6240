"""How an operation of the MongoDB store is carried out, and what its documents have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from bson import DatetimeMS
from pymongo.errors import PyMongoError

from toto_aio.exceptions import Unavailable
from toto_aio.tasks import Tasks

OPERATION_LIMIT = 5.0
"""Seconds that an operation may take in total."""
DATABASE = "toto"
"""The name of the database if the URL has none."""
ERRORS = (PyMongoError, OSError)
"""What an operation raises: errors of the driver and of the network, including ``TimeoutError``."""

Document = dict[str, Any]


class Bounded(Protocol):
    """What has ``bounded`` operations: the tasks that carry them out."""

    operations: Tasks


S = TypeVar("S", bound=Bounded)
P = ParamSpec("P")
T = TypeVar("T")


def bounded(
    operation: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Limit the time of an operation of the store, and turn its errors into ``Unavailable``.

    The operation runs in its own task, which goes on if the caller is cancelled or stops waiting: pymongo
    closes the connection of an operation that is cancelled, and leaks the socket if it is still connecting.
    """

    @wraps(operation)
    async def run(store: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        task = store.operations.start(_outcome(operation(store, *args, **kwargs)), "mongodb")
        await asyncio.wait([task], timeout=OPERATION_LIMIT)
        if not task.done():
            raise Unavailable from TimeoutError(f"MongoDB did not answer within {OPERATION_LIMIT} s")
        try:
            outcome = task.result()
        except asyncio.CancelledError as exc:
            raise Unavailable from exc  # the store was closed
        if isinstance(outcome, ERRORS):
            raise Unavailable from outcome
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return run


async def _outcome(operation: Coroutine[Any, Any, T]) -> T | Exception:
    """Return the result of an operation, or its error, which is not to be reported if nobody waits for it."""
    try:
        return await operation
    except Exception as exc:
        return exc


def expiry(expires: float) -> Document:
    """The fields of a document that expires: Unix seconds, and the time for the TTL index."""
    return {"expires": float(expires), "expires_at": DatetimeMS(int(expires * 1000))}


def text(value: str) -> str:
    """Return a value for a query, after checking that it is a string and not a dict of operators."""
    if not isinstance(value, str):
        raise TypeError(f"expected a string, not {type(value).__name__}")
    return value
