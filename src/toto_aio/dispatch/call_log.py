"""One line in the log for each call that fails or is slow.

It names the method as it is registered, so that a client cannot write into the log, and holds no parameter,
value, session id or signature. Its fields are there as attributes of the record too, for JSON lines.
"""

from __future__ import annotations

import logging
import time

from toto_aio.dispatch.call import Call
from toto_aio.exceptions import InternalError, TimedOut, TotoException, Unavailable

logger = logging.getLogger("toto_aio.calls")

LEVELS = {Unavailable.CODE: logging.WARNING, TimedOut.CODE: logging.WARNING}
"""How loud an error is that the service has a name for; the others are the client's own doing."""


def log_failure(exc: Exception, call: Call, address: str) -> None:
    """Say that a call has failed; an unexpected exception is logged whole."""
    fields = _fields(call, address)
    text = "call failed: %(method)s with %(code)s [%(transaction_id)s] from %(address)s in %(seconds).3f s"
    if isinstance(exc, TotoException):
        fields["code"] = exc.code
        if exc.__cause__ is not None and exc.code in LEVELS:  # what the client is not told
            text += ": %(cause)s"
            fields["cause"] = repr(exc.__cause__)
        logger.log(LEVELS.get(exc.code, logging.INFO), text, fields, extra=fields)
    else:
        fields["code"] = InternalError.CODE
        exc_info = (type(exc), exc, exc.__traceback__)
        logger.error(text, fields, exc_info=exc_info, extra=fields)


def log_slow(call: Call, address: str) -> None:
    """Say that a call took longer than it should."""
    fields = _fields(call, address)
    text = "call slow: %(method)s [%(transaction_id)s] from %(address)s in %(seconds).3f s"
    logger.warning(text, fields, extra=fields)


def _fields(call: Call, address: str) -> dict[str, object]:
    seconds = time.perf_counter() - call.started if call.started else 0.0
    return {
        "method": call.method,
        "transaction_id": call.transaction_id,
        "address": address,
        "seconds": round(seconds, 6),
    }
