"""The messages of JSON-RPC 2.0: requests as they are read, and responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from toto_aio.codecs.limits import MalformedError
from toto_aio.dispatch.client_limit import MEMBER, is_limit
from toto_aio.exceptions import (
    InternalError,
    InvalidParameters,
    MethodNotFound,
    MissingMethod,
    TotoException,
)

VERSION = "2.0"
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = (
    *(-32700, -32600),
    *(-32601, -32602, -32603),
)
SERVER_ERROR = -32000
"""The code of an author's error whose own code is reserved."""
RESERVED = range(-32768, SERVER_ERROR + 1)
MEANINGS = {
    PARSE_ERROR: "Parse error",
    INVALID_REQUEST: "Invalid Request",
    METHOD_NOT_FOUND: "Method not found",
    INVALID_PARAMS: "Invalid params",
    INTERNAL_ERROR: "Internal error",
    SERVER_ERROR: "Server error",
}
CODES: Mapping[int, int] = {
    InternalError.CODE: INTERNAL_ERROR,
    MethodNotFound.CODE: METHOD_NOT_FOUND,
    MissingMethod.CODE: INVALID_REQUEST,
    InvalidParameters.CODE: INVALID_PARAMS,
}
"""The codes of JSON-RPC that mean the same as Toto's; others stay what they are."""


class Request(Struct, frozen=True):
    """A call that a message asks for. A notification gets no response."""

    method: str
    params: dict[str, Any] | list[Any]
    id: Any
    is_notification: bool
    timeout: float | None = None
    """The seconds that the client waits, if it has said so."""


class InvalidRequestError(InvalidParameters):
    """What isn't a request; ``id`` is the one of the response."""

    id: Any = None


def read_request(message: Any) -> Request:
    """The request in a message. Raises ``InvalidRequestError``."""
    if not isinstance(message, dict):
        raise InvalidRequestError("A request must be an object.")
    request_id = message.get("id")
    method, params = message.get("method"), message.get("params", _NONE)
    timeout = message.get(MEMBER)
    wrong = None
    if message.get("jsonrpc") != VERSION:
        wrong = 'The member jsonrpc must be "2.0".'
    elif type(request_id) not in _IDS and not _is_int64(request_id):
        wrong, request_id = "The id must be text, a number or null.", None
    elif type(method) is not str:
        wrong = "The method must be text."
    elif type(params) not in (dict, list):
        wrong = "The member params must be an object or an array."
    elif timeout is not None and not is_limit(timeout):
        wrong = "The member timeout must be a number of seconds, such as 2.5."
    if wrong is not None:
        error = InvalidRequestError(wrong)
        error.id = request_id if type(request_id) in _IDS or _is_int64(request_id) else None
        raise error
    return Request(str(method), params, request_id, "id" not in message, timeout)


def says_so(message: list[Any]) -> bool:
    """Whether an array says that it is a batch of JSON-RPC, where there are other messages too."""
    return any(type(each) is dict and "jsonrpc" in each for each in message)


def success(result: Any, request_id: Any, session: Mapping[str, Any] | None) -> dict[str, Any]:
    """The response with a result; ``session`` is one that the call has made, which a client has to learn."""
    response = {"jsonrpc": VERSION, "result": result, "id": request_id}
    if session is not None:
        response["session"] = session
    return response


def failure(error: TotoException, request_id: Any, *, is_call: bool = True) -> dict[str, Any]:
    """The response with an error, Toto's as its ``data``; unless ``is_call``, to what never became a call."""
    code = _code(error, is_call)
    message = MEANINGS.get(code) or (error.value if isinstance(error.value, str) else type(error).__name__)
    return {
        "jsonrpc": VERSION,
        "error": {"code": code, "message": message, "data": error.as_dict()},
        "id": request_id,
    }


def _code(error: TotoException, is_call: bool) -> int:
    if isinstance(error, MalformedError):
        return PARSE_ERROR
    if isinstance(error, InvalidRequestError) or (isinstance(error, InvalidParameters) and not is_call):
        return INVALID_REQUEST
    code = CODES.get(error.code, error.code)
    return SERVER_ERROR if code is error.code and code in RESERVED else code


def _is_int64(value: Any) -> bool:
    """Whether it is BSON's integer of 64 bits, which drivers send for small numbers as well."""
    return isinstance(value, int) and type(value) is not bool


_NONE: dict[str, Any] = {}
_IDS = frozenset((str, int, float, type(None)))
