"""A call, and the kinds of answers that are no plain result."""

from __future__ import annotations

import secrets
from typing import Any

from msgspec import Struct


class Call(Struct):
    """One call of a method: its name and parameters as they came, and whether by GET or HEAD."""

    name: Any
    parameters: Any
    by_get: bool = False
    method: str = "unknown"
    """The name under which the method is registered, once it is found."""
    started: float = 0.0
    """When it was begun, on the clock of ``time.perf_counter``."""
    _transaction_id: str = ""

    @property
    def transaction_id(self) -> str:
        """16 hexadecimal digits that name the call in hooks and logs, made when first asked for."""
        if not self._transaction_id:
            self._transaction_id = secrets.token_hex(8)
        return self._transaction_id


class RawAnswer(Struct, frozen=True):
    """An answer that is not put into an envelope."""

    body: bytes
    content_type: str


class Redirect(Struct, frozen=True):
    """An answer that sends the client elsewhere."""

    url: str
    status: int = 302


class ClientLeftError(Exception):
    """The client left before its call was answered, and there is nobody to tell."""


class Streamed:
    """An answer that has gone out in pieces."""


OWN_BYTES = (RawAnswer, Redirect, Streamed)
"""The answers that need a response of their own, which a batch and a socket do not have."""
