"""One log line for each call that fails or is slow.

The line has the name under which the method is registered, so that a client can't write into the log, and no
parameter, value, session id or signature. Its fields are also attributes of the record, for JSON lines. The
trace that the request belongs to is among them, if the client has sent one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from toto_aio.dispatch.call import Call
from toto_aio.dispatch.trace import trace_fields
from toto_aio.exceptions import InternalError, MethodNotFound, TimedOut, TotoException, Unavailable, described

logger = logging.getLogger("toto_aio.calls")

LEVELS = {Unavailable.CODE: logging.WARNING, TimedOut.CODE: logging.WARNING}
"""The levels of errors that the operator should know of; others are the clients' doing, and INFO."""


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
    fields = _fields(call, source)
    text = "call failed: %(method)s with %(code)s [%(transaction_id)s] from %(address)s in %(seconds).3f s"
    text += _traced(fields)
    if isinstance(exc, TotoException):
        fields["code"] = exc.code
        if exc.__cause__ is not None and exc.code in LEVELS:  # the client doesn't receive it
            text += ": %(cause)s"
            fields["cause"] = described(exc.__cause__)
        if call.by_get and isinstance(exc, MethodNotFound) and exc.status == 405:
            text += ": %(cause)s"
            fields["cause"] = exc.value
        logger.log(LEVELS.get(exc.code, logging.INFO), text, fields, extra=fields)
    else:
        fields["code"] = InternalError.CODE
        exc_info = (type(exc), exc, exc.__traceback__)
        logger.error(text, fields, exc_info=exc_info, extra=fields)


def log_slow(call: Call, source: Source) -> None:
    """Log a call that took longer than ``slow_call`` allows."""
    fields = _fields(call, source)
    text = "call slow: %(method)s [%(transaction_id)s] from %(address)s in %(seconds).3f s"
    logger.warning(text + _traced(fields), fields, extra=fields)


def _traced(fields: dict[str, object]) -> str:
    return ", trace %(trace_id)s" if "trace_id" in fields else ""


def _fields(call: Call, source: Source) -> dict[str, object]:
    seconds = time.perf_counter() - call.started if call.started else 0.0
    return {
        "method": call.method,
        "transaction_id": call.transaction_id,
        "address": source.address,
        "seconds": round(seconds, 6),
        **trace_fields(source.traceparent),
    }
