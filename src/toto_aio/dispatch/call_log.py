"""One log line for each call that fails or is slow.

The line has the name under which the method is registered, so that a client can't write into the log, and no
parameter, value, session id or signature. Its fields are also attributes of the record, for JSON lines. The
trace that the request belongs to is among them, if the client has sent one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from traceback import extract_tb
from typing import Any, Protocol

from toto_aio.auth.user_session import UserSession
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.trace import trace_fields
from toto_aio.exceptions import InternalError, MethodNotFound, TimedOut, TotoException, Unavailable, described

logger = logging.getLogger("toto_aio.calls")

LEVELS = {Unavailable.CODE: logging.WARNING, TimedOut.CODE: logging.WARNING}
"""The levels of errors that the operator should know of; others are the clients' doing, and INFO."""

NO_SESSION = (
    "handler.session is None, as the call has no session: write @authenticated above the method, or "
    "@anonymous_session to create one"
)


class Source(Protocol):
    """Where a call came from: its ``Reply``, or a socket."""

    @property
    def address(self) -> str:
        """The client's IP address."""

    @property
    def traceparent(self) -> Sequence[str]:
        """The values of the header ``traceparent``."""


def log_failure(exc: Exception, call: Call, source: Source) -> None:
    """Log a failed call; an unexpected exception with its traceback."""
    known = isinstance(exc, TotoException)
    code = exc.code if isinstance(exc, TotoException) else InternalError.CODE
    level = LEVELS.get(code, logging.INFO) if known else logging.ERROR
    if not logger.isEnabledFor(level):
        return
    fields = _fields(call, source)
    fields["code"] = code
    text = "call failed: %(method)s with %(code)s [%(transaction_id)s] from %(address)s in %(seconds).3f s"
    text += _traced(fields)
    if known and exc.__cause__ is not None and code in LEVELS:  # the client doesn't receive it
        text += ": %(cause)s"
        fields["cause"] = described(exc.__cause__)
    elif isinstance(exc, TotoException) and exc.reason:
        text += ": %(cause)s"
        fields["cause"] = exc.reason
    elif call.by_get and isinstance(exc, MethodNotFound) and exc.status == 405:
        text += ": %(cause)s"
        fields["cause"] = exc.value
    elif not known and _reads_no_session(exc):
        text += ": %(cause)s"
        fields["cause"] = NO_SESSION
    _log(level, text, fields, None if known else (type(exc), exc, exc.__traceback__))


def _reads_no_session(exc: Exception) -> bool:
    """Whether a method has used ``handler.session`` as if there were one."""
    if isinstance(exc, AttributeError):
        is_none = exc.obj is None and hasattr(UserSession, exc.name or "")
    else:
        is_none = isinstance(exc, TypeError) and str(exc).startswith("'NoneType' object ")
    lines = list(extract_tb(exc.__traceback__)) if is_none else []
    return bool(lines) and "session" in (lines[-1].line or "")


def log_slow(call: Call, source: Source) -> None:
    """Log a call that took longer than ``slow_call`` allows."""
    if logger.isEnabledFor(logging.WARNING):
        fields = _fields(call, source)
        text = "call slow: %(method)s [%(transaction_id)s] from %(address)s in %(seconds).3f s"
        _log(logging.WARNING, text + _traced(fields), fields)


def _log(level: int, text: str, fields: dict[str, object], exc_info: Any = None) -> None:
    """As ``logger.log``, which would look for its caller, and compare each field with the record's own."""
    record = logger.makeRecord(logger.name, level, __file__, 0, text, (fields,), exc_info)
    record.__dict__.update(fields)
    logger.handle(record)


def _traced(fields: dict[str, object]) -> str:
    return ", trace %(trace_id)s" if "trace_id" in fields else ""


def _fields(call: Call, source: Source) -> dict[str, object]:
    seconds = time.perf_counter() - call.started if call.started else 0.0
    fields: dict[str, object] = {
        "method": call.method,
        "transaction_id": call.transaction_id,
        "address": source.address,
        "seconds": round(seconds, 6),
    }
    traceparent = source.traceparent
    if traceparent:
        fields.update(trace_fields(traceparent))
    return fields
