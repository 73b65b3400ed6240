"""A call of a method, as a transport has read it."""

from __future__ import annotations

import secrets
from typing import Any

from msgspec import Struct

MEMBER = "idempotency_key"
"""The member of a message that names a call, for those that repeat it."""


REPLAYED = {"idempotent_replayed": True}
"""What the response to such a message has beside the outcome, if that is of an earlier call."""


class Call(Struct):
    """One call of a method: its name and parameters as they came, and whether by GET or HEAD, or in a form.

    ``Call()`` stands for a request that never became a call.
    """

    name: Any = None
    parameters: Any = None
    by_get: bool = False
    by_form: bool = False
    is_whole: bool = False
    """Whether the parameters are a whole message, with the key ``method`` that named the call."""
    binary: bool = False
    """Whether its codec has bytes of its own, so that text is never base64."""
    redirect_to: str | None = None
    error_redirect_to: str | None = None
    """Where a form says that the browser is to go: a path of this site."""
    message: dict[str, Any] | None = None
    """The message in a batch, a frame or JSON-RPC, which may have what other calls have in headers."""
    replayed: bool = False
    """Whether its outcome is that of an earlier call with the same idempotency key."""
    method: str = "unknown"
    """The name that the method is registered under, once it is found."""
    started: float = 0.0
    """When the call began, on the clock of ``time.perf_counter``."""
    ends: float | None = None
    """When its client stops waiting, on the clock of ``time.monotonic``, if the client has said so."""
    _transaction_id: str = ""

    @property
    def transaction_id(self) -> str:
        """16 hexadecimal digits that identify the call in hooks and logs, made when first asked for."""
        if not self._transaction_id:
            self._transaction_id = secrets.token_hex(8)
        return self._transaction_id


def make_call(message: dict[str, Any], path: str | None = None, *, named: bool = True) -> Call:
    """The call of a message, named by a ``path`` such as ``a/b`` or, if ``named``, by its key ``method``.

    Without the key ``parameters`` the whole message is the parameters.
    """
    name = path.rstrip("/").replace("/", ".") if path else None
    by_key = not name and named and "method" in message
    if by_key:
        name = message["method"]
    if "parameters" in message:  # a look-up by ``get`` would cost one more call
        parameters = message["parameters"]
        return Call(name, {} if parameters is None else parameters)
    return Call(name, message, is_whole=by_key)


class ClientDisconnectedError(Exception):
    """The client left before its call was answered, so there is nobody to send an error to."""
