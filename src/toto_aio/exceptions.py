"""The errors of the wire: one class per code, and the table that says what each code means.

Raise one of these from a method and its code and value reach the client; a method's own errors are
``TotoException(code, value)`` with any code outside 1000 to 1099. Codes 1000 to 1010 are Toto's.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "CodedException",
    "InternalError",
    "InvalidCredentials",
    "InvalidHMAC",
    "InvalidParameters",
    "InvalidResponseHMAC",
    "InvalidSessionID",
    "InvalidUserID",
    "MethodNotFound",
    "MissingMethod",
    "NotAuthorized",
    "TimedOut",
    "TooManyAttempts",
    "TotoException",
    "Unavailable",
    "UserIDExists",
]


class TotoException(Exception):
    """An error that a client is told: an integer ``code`` and a ``value`` that can be encoded.

    ``status`` is the HTTP status of a single call that fails so; errors come with 200 unless the
    table of codes says otherwise, because Toto's clients read errors from a 200.
    """

    status: int = 200

    def __init__(self, code: int, value: Any, *, status: int | None = None) -> None:
        super().__init__(code, value)
        self.code = code
        self.value = value
        if status is not None:
            self.status = status
        elif code in STATUSES:
            self.status = STATUSES[code]

    def __str__(self) -> str:
        return f"{self.code}: {self.value}"

    def as_dict(self) -> dict[str, Any]:
        """The error as it stands in an answer."""
        return {"code": self.code, "value": self.value}


class CodedException(TotoException):
    """A ``TotoException`` whose code, usual value and status belong to its class."""

    CODE: ClassVar[int]
    VALUE: ClassVar[str]

    def __init__(self, value: Any = None, *, status: int | None = None) -> None:
        super().__init__(self.CODE, self.VALUE if value is None else value, status=status)


class InternalError(CodedException):
    """An unexpected exception; the client gets an id, the log the traceback under that id."""

    CODE, VALUE = 1000, "Internal error"


class MethodNotFound(CodedException):
    """No such method, or none that may be called in this way."""

    CODE, VALUE = 1001, "Cannot call the method."

    @classmethod
    def named(cls, name: object, *, status: int | None = None) -> MethodNotFound:
        """The error for the method of this ``name``."""
        return cls(f"Cannot call '{name}'.", status=status)


class MissingMethod(CodedException):
    """A request that names no method."""

    CODE, VALUE = 1002, "Missing method."


class InvalidParameters(CodedException):
    """Missing or wrong parameters, or input that never became a call (status 400, 413 or 415)."""

    CODE, VALUE = 1003, "Invalid parameters."


class NotAuthorized(CodedException):
    """No session, or an unknown, expired, ended or anonymous one."""

    CODE, VALUE = 1004, "Not authorized"


class InvalidCredentials(CodedException):
    """A login with an unknown user id or a wrong password; which of them is not told."""

    CODE, VALUE = 1005, "Invalid user ID or password"


class UserIDExists(CodedException):
    """An account of that user id exists already."""

    CODE, VALUE = 1006, "User ID already in use."


class InvalidSessionID(CodedException):
    """The session has ended, so that nothing can be saved to it."""

    CODE, VALUE = 1007, "Invalid session ID."


class InvalidHMAC(CodedException):
    """The signature of a request is wrong."""

    CODE, VALUE = 1008, "Invalid HMAC"


class InvalidResponseHMAC(CodedException):
    """The signature of a response is wrong; raised by clients."""

    CODE, VALUE = 1009, "Invalid response HMAC"


class InvalidUserID(CodedException):
    """A user id that no account can have."""

    CODE, VALUE = 1010, "Invalid user ID."


class Unavailable(CodedException):
    """A store or the broker is out of reach, or the service is stopping."""

    CODE, VALUE = 1011, "Service unavailable"


class TooManyAttempts(CodedException):
    """Too many login attempts; ``retry_after`` is in seconds."""

    CODE, VALUE = 1012, "Too many attempts"

    def __init__(self, value: Any = None, *, retry_after: int = 0) -> None:
        super().__init__(value)
        self.retry_after = retry_after


class TimedOut(CodedException):
    """The call took longer than its time limit."""

    CODE, VALUE = 1013, "Timed out"


STATUSES = {Unavailable.CODE: 503, TooManyAttempts.CODE: 429, TimedOut.CODE: 504}
