"""The errors that clients receive: one class for each code, with its meaning, value and HTTP status.

Raise one of these in a method, and the client receives its code and value. For errors of your own raise
``TotoException(code, value)`` with any code outside 1000 to 1099. Codes 1000 to 1010 are Toto's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

from toto_aio.names import shortened

__all__ = [
    "ERROR_INVALID_HMAC",
    "ERROR_INVALID_METHOD",
    "ERROR_INVALID_RESPONSE_HMAC",
    "ERROR_INVALID_SESSION_ID",
    "ERROR_INVALID_USER_ID",
    "ERROR_MISSING_METHOD",
    "ERROR_MISSING_PARAMS",
    "ERROR_NOT_AUTHORIZED",
    "ERROR_SERVER",
    "ERROR_USER_ID_EXISTS",
    "ERROR_USER_NOT_FOUND",
    "CallInProgress",
    "CodedException",
    "InternalError",
    "InvalidCredentials",
    "InvalidHMAC",
    "InvalidParameters",
    "InvalidResponseHMAC",
    "InvalidSessionID",
    "InvalidUserID",
    "KeyReused",
    "MethodNotFound",
    "MissingMethod",
    "NotAuthorized",
    "OutcomeUnknown",
    "SecondFactorRequired",
    "TimedOut",
    "TooManyAttempts",
    "TotoException",
    "Unavailable",
    "UserIDExists",
]


class TotoException(Exception):
    """An error that the client receives: an integer ``code``, and a ``value`` that can be encoded.

    ``details`` are further keys of the error, beside ``code`` and ``value``.

    ``status`` is the HTTP status of the response if the call is the only one of its request. It is 200 unless
    ``STATUSES`` has another for the code, because Toto's clients read errors from a response with 200. With
    ``error_status=http`` an error that was not given a status, here or by its class, has that of
    ``http_status``.
    """

    status: int = 200
    unsigned: bool = False
    """Whether the Python client has received it in a response that the service could not sign, so that anyone
    on the way may have sent it: the call may have been carried out, and the session may be valid."""

    details: Mapping[str, Any] = MappingProxyType({})
    reason: str = ""
    """Why, for the log and with ``debug``: what helps the author of a client would help strangers, too."""

    def __init__(
        self,
        code: int,
        value: Any,
        *,
        status: int | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code, value)
        self.code = code
        self.value = value
        if details:
            self.details = details
        if status is not None:
            self.status = status
        elif code in STATUSES:
            self.status = STATUSES[code]

    def __str__(self) -> str:
        return f"{self.code}: {self.value}"

    def as_dict(self) -> dict[str, Any]:
        """The error as a response contains it."""
        error = {"code": self.code, "value": self.value}
        return {**error, **self.details, **error} if self.details else error


class CodedException(TotoException):
    """A ``TotoException`` whose class defines the code, the default value and the status."""

    CODE: ClassVar[int]
    VALUE: ClassVar[str]

    def __init__(self, value: Any = None, *, status: int | None = None) -> None:
        super().__init__(self.CODE, self.VALUE if value is None else value, status=status)

    @classmethod
    def because(cls, reason: str, *, status: int | None = None) -> Self:
        """The error with its default value; only the log has the ``reason``."""
        error = cls(status=status)
        error.reason = reason
        return error


class InternalError(CodedException):
    """An unexpected exception; the client receives an id, under which the log has the traceback."""

    CODE, VALUE = 1000, "Internal error"


class MethodNotFound(CodedException):
    """The method does not exist, or cannot be called this way."""

    CODE, VALUE = 1001, "Cannot call the method."

    @classmethod
    def named(cls, name: object, *, status: int | None = None) -> MethodNotFound:
        """The error for the method with this ``name``."""
        return cls(f"Cannot call '{shortened(name)}'.", status=status)


class MissingMethod(CodedException):
    """The request does not name a method."""

    CODE, VALUE = 1002, "Missing method."


class InvalidParameters(CodedException):
    """Parameters are missing or wrong, or the input cannot be read as a call (status 400, 413 or 415).

    Of a typed method, ``problems`` has everything that is wrong: ``path``, ``kind`` (``missing``,
    ``unknown``, ``type`` or ``value``), and ``expected``, ``got`` or ``nearest``, as they apply.
    """

    CODE, VALUE = 1003, "Invalid parameters."

    def __init__(
        self, value: Any = None, *, status: int | None = None, problems: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(value, status=status)
        if problems:
            self.details = {"problems": list(problems)}

    @property
    def problems(self) -> list[dict[str, str]]:
        """What is wrong with the parameters, each as a dict; [] if the error has a text only."""
        found = self.details.get("problems")
        return found if isinstance(found, list) else []


class NotAuthorized(CodedException):
    """There is no session, or it is unknown, expired, ended or anonymous, or its user lacks the role.

    With a ``max_age``, in seconds, the user has to log in again: the login may not be older than that.
    """

    CODE, VALUE = 1004, "Not authorized"

    @classmethod
    def too_old(cls, max_age: float) -> NotAuthorized:
        """The error of a session whose login is older than ``max_age`` seconds."""
        seconds = "second" if max_age == 1 else "seconds"
        error = cls(f"Log in again: the login must not be older than {max_age:g} {seconds}.")
        error.details = {"max_age": int(max_age)}
        return error

    @property
    def max_age(self) -> int | None:
        """How old the login may be, in seconds, if that is what is wrong."""
        found = self.details.get("max_age")
        return found if isinstance(found, int) else None


class InvalidCredentials(CodedException):
    """The user id is unknown or the password is wrong; the client does not learn which."""

    CODE, VALUE = 1005, "Invalid user ID or password"


class UserIDExists(CodedException):
    """An account with that user id already exists."""

    CODE, VALUE = 1006, "User ID already in use."


class InvalidSessionID(CodedException):
    """The session has ended, so nothing can be saved to it."""

    CODE, VALUE = 1007, "Invalid session ID."


class InvalidHMAC(CodedException):
    """The signature of a request is wrong."""

    CODE, VALUE = 1008, "Invalid HMAC"


class InvalidResponseHMAC(CodedException):
    """The signature of a response is wrong; the Python client raises it."""

    CODE, VALUE = 1009, "Invalid response HMAC"


class InvalidUserID(CodedException):
    """No account can have that user id."""

    CODE, VALUE = 1010, "Invalid user ID."


class Unavailable(CodedException):
    """A store or the broker cannot be reached, or the service is shutting down."""

    CODE, VALUE = 1011, "Service unavailable"


class TooManyAttempts(CodedException):
    """There were too many attempts to log in or create accounts, or too many calls of a method.

    ``retry_after`` are the seconds that remain, which the error has in every response.
    """

    CODE, VALUE = 1012, "Too many attempts"

    def __init__(self, value: Any = None, *, retry_after: int = 0) -> None:
        super().__init__(value)
        if retry_after:
            self.details = {"retry_after": retry_after}

    @property
    def retry_after(self) -> int:
        """The seconds to wait; 0 if they are not known."""
        found = self.details.get("retry_after")
        return found if isinstance(found, int) else 0


class TimedOut(CodedException):
    """The call took longer than its time limit."""

    CODE, VALUE = 1013, "Timed out"


class CallInProgress(CodedException):
    """The first call with this idempotency key is still running."""

    CODE, VALUE = 1014, "The first call with this idempotency key is still running."


class KeyReused(CodedException):
    """The idempotency key was used for a call with other parameters."""

    CODE, VALUE = 1015, "This idempotency key was used with other parameters."


class OutcomeUnknown(CodedException):
    """The first call with this idempotency key was cut off, or its result is not kept: it is not repeated."""

    CODE, VALUE = 1016, "The first call with this idempotency key has an outcome that nobody knows."


class SecondFactorRequired(CodedException):
    """The password is right, and the account has a second factor: its code is to follow."""

    CODE, VALUE = 1017, "Second factor required"

    def __init__(self, value: Any = None, *, ticket: str = "") -> None:
        super().__init__(value)
        self.details = {"ticket": ticket}

    @property
    def ticket(self) -> str:
        """What ``account.totp.login`` takes beside the code, within five minutes."""
        return str(self.details.get("ticket", ""))


def http_status(error: TotoException, *, has_user: bool = False, chosen: int | None = None) -> int:
    """The status of an error under ``error_status=http``: its own, or that of its code.

    ``has_user``: the session is a user's. ``chosen`` is a status that the method has set: it counts for
    errors of the author's own, if it is one of an error.
    """
    if has_own_status(error):
        return error.status
    if error.code == NotAuthorized.CODE and has_user and "max_age" not in error.details:
        return 403  # who has to log in again gets 401 (RFC 9470)
    if error.code in HTTP_STATUSES:
        return HTTP_STATUSES[error.code]
    return chosen if chosen is not None and chosen >= 400 else 400


def has_own_status(error: TotoException) -> bool:
    """Whether somebody has given an error a status, itself or by its class; it may be 200."""
    kinds = type(error).__mro__
    own = kinds[: kinds.index(TotoException)]
    return "status" in vars(error) or any("status" in vars(kind) for kind in own)


def described(error: BaseException) -> str:
    """An error and its text, for the log.

    This is what ``repr`` shows of most exceptions. Those of redis-py only show ``server:ResponseError``.
    """
    return f"{type(error).__name__}({str(error)!r})" if str(error) else f"{type(error).__name__}()"


ERROR_SERVER = InternalError.CODE  #: Toto's name of the code of ``InternalError``.
ERROR_INVALID_METHOD = MethodNotFound.CODE  #: Toto's name of the code of ``MethodNotFound``.
ERROR_MISSING_METHOD = MissingMethod.CODE  #: Toto's name of the code of ``MissingMethod``.
ERROR_MISSING_PARAMS = InvalidParameters.CODE  #: Toto's name of the code of ``InvalidParameters``.
ERROR_NOT_AUTHORIZED = NotAuthorized.CODE  #: Toto's name of the code of ``NotAuthorized``.
ERROR_USER_NOT_FOUND = InvalidCredentials.CODE  #: Toto's name of the code of ``InvalidCredentials``.
ERROR_USER_ID_EXISTS = UserIDExists.CODE  #: Toto's name of the code of ``UserIDExists``.
ERROR_INVALID_SESSION_ID = InvalidSessionID.CODE  #: Toto's name of the code of ``InvalidSessionID``.
ERROR_INVALID_HMAC = InvalidHMAC.CODE  #: Toto's name of the code of ``InvalidHMAC``.
ERROR_INVALID_RESPONSE_HMAC = InvalidResponseHMAC.CODE  #: Toto's name of the code of ``InvalidResponseHMAC``.
ERROR_INVALID_USER_ID = InvalidUserID.CODE  #: Toto's name of the code of ``InvalidUserID``.

STATUSES = {
    Unavailable.CODE: 503,
    TooManyAttempts.CODE: 429,
    TimedOut.CODE: 504,
    CallInProgress.CODE: 409,
    KeyReused.CODE: 422,
    OutcomeUnknown.CODE: 409,
}
"""The statuses of errors that don't come with 200, whatever ``error_status`` is."""
HTTP_STATUSES = {
    InternalError.CODE: 500,
    MethodNotFound.CODE: 404,
    MissingMethod.CODE: 400,
    InvalidParameters.CODE: 400,
    NotAuthorized.CODE: 401,  # 403 if it is a user who is not authorized
    InvalidCredentials.CODE: 401,
    UserIDExists.CODE: 409,
    InvalidSessionID.CODE: 401,
    InvalidHMAC.CODE: 401,
    InvalidResponseHMAC.CODE: 502,  # of another service, which a method has called
    InvalidUserID.CODE: 400,
    SecondFactorRequired.CODE: 401,
    **STATUSES,
}
"""The statuses of errors under ``error_status=http``, and on pages."""
