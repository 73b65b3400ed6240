"""What the record of an idempotency key has: how far its call has come, and its outcome."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import Any

import msgspec
from aiohttp import web
from msgspec.structs import replace

from toto_aio.exceptions import (
    InternalError,
    TimedOut,
    TooManyAttempts,
    TotoException,
    Unavailable,
    has_own_status,
)

MAX_OUTCOME = 1024 * 1024
"""The most bytes of an outcome that is kept."""
NOT_KEPT = frozenset((InternalError.CODE, Unavailable.CODE, TooManyAttempts.CODE, TimedOut.CODE))
"""The codes of failures after which the key is free again, as a repeat may succeed."""


class State(IntEnum):
    """How far the call of a key has come."""

    RUNNING = 0
    IN_TRANSACTION = 1
    """It has begun a transaction, and committed none."""
    COMMITTED = 2
    """It has committed one, and goes on."""
    CUT_OFF = 3
    RESULT = 4
    ERROR = 5
    CARRIED_OUT = 6
    """It has ended, and its outcome is not kept."""
    FREE = 7
    """It has ended, and a repeat may succeed: whichever call it is takes the place of this one."""


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """The value of a record: the call must be over by ``until``, in Unix seconds.

    ``digest`` stands for the parameters. ``outcome`` is packed: a result, or an error with its parts.
    """

    state: State
    until: float
    digest: bytes
    outcome: bytes = b""
    status: int | None = None
    """The status that the method has set."""
    nonce: bytes = b""
    """Tells the records of two calls apart."""
    content_type: str = ""
    """The codec of a result that is not in MessagePack."""


Pack = Callable[[Any], tuple[bytes, str]]
"""Packs an outcome; returns the name of its codec as well. Raises an exception if that cannot be kept."""


def after(exc: BaseException, entry: Entry, pack_outcome: Pack) -> Entry:
    """The entry after a call that ended with an exception."""
    code = InternalError.CODE
    if isinstance(exc, TotoException):
        code = exc.code
    elif isinstance(exc, web.HTTPException) and exc.status < 500:
        code = exc.status
    if isinstance(exc, Exception) and code not in NOT_KEPT:
        if isinstance(exc, TotoException):
            status = exc.status if has_own_status(exc) else None
            with suppress(Exception):  # the transport says what is wrong with it
                packed, content_type = pack_outcome((exc.code, exc.value, dict(exc.details), status))
                return replace(entry, state=State.ERROR, outcome=packed, content_type=content_type)
        return replace(entry, state=State.CARRIED_OUT)
    if entry.state is State.COMMITTED:
        return replace(entry, until=0)
    if _is_cut_off(exc) and entry.state is State.RUNNING:
        return replace(entry, state=State.CUT_OFF)
    return FREE


def _is_cut_off(exc: BaseException) -> bool:
    """Whether the call itself was cancelled, by its time limit or otherwise; it may have awaited what was."""
    if isinstance(exc, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return not isinstance(exc, Exception)


def digest(key: str, parameters: Any) -> bytes:
    """What stands for parameters. It tells nothing to those who only read the database."""
    return hmac.digest(key_bytes(key), _in_order.encode(parameters), "sha256")


def key_bytes(text: str) -> bytes:
    """The bytes of a key, which a header may have in any encoding."""
    return text.encode(errors="surrogateescape")


def pack(entry: Entry) -> bytes:
    """The value of a record."""
    return msgspec.msgpack.encode(entry)


unpack = msgspec.msgpack.Decoder(Entry).decode
_in_order = msgspec.msgpack.Encoder(
    order="deterministic", enc_hook=lambda value: [type(value).__name__, repr(value)]
)
FREE = Entry(State.FREE, 0, b"")
ENDS = frozenset((State.CUT_OFF, State.CARRIED_OUT))
LAPSES = frozenset((State.RUNNING, State.COMMITTED))
"""States in which a call must not be repeated, even if it must be over."""
_CUT_OFF = "The first call with this key was cut off, and nobody knows its outcome."
MEANINGS = {
    State.RUNNING: _CUT_OFF,
    State.CUT_OFF: _CUT_OFF,
    State.COMMITTED: "The first call with this key was carried out, and cut off before it had a result.",
    State.CARRIED_OUT: "The first call with this key was carried out; its result is not kept.",
}
