"""Errors of a service as aiohttp's HTTP errors, for the routes of the application around it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import hdrs, web

from toto_aio.exceptions import (
    HTTP_STATUSES,
    TooManyAttempts,
    TotoException,
    Unavailable,
    described,
    http_status,
)
from toto_aio.http.body import BrokenBodyError
from toto_aio.http.response import CLIENT_CLOSED_REQUEST

logger = logging.getLogger(__name__)


@contextmanager
def http_errors(*others: type[TotoException]) -> Iterator[None]:
    """Turn the service's errors into aiohttp's, except ``others`` and codes of an author's own."""
    try:
        yield
    except others:
        raise
    except TotoException as exc:
        error = http_error(exc)
        if error is None:
            raise
        if isinstance(exc, Unavailable):
            logger.warning("a page has no session: %s", described(exc.__cause__ or exc))
        raise error from exc


def http_error(exc: TotoException) -> web.HTTPException | None:
    """The HTTP error that says the same; None for a code that isn't the service's."""
    status = http_status(exc)
    if exc.code not in HTTP_STATUSES or status not in ERRORS:
        return None
    error: web.HTTPException = ERRORS[status](text=str(exc.value))
    if isinstance(exc, TooManyAttempts):
        error.headers[hdrs.RETRY_AFTER] = str(exc.retry_after)
    if isinstance(exc, BrokenBodyError):
        error.force_close()  # the next request can't be found
    return error


class HTTPClientClosedRequest(web.HTTPClientError):
    """The client has left, so nobody gets this response."""

    status_code = CLIENT_CLOSED_REQUEST


def _too_large(*, text: str) -> web.HTTPException:
    return web.HTTPRequestEntityTooLarge(0, text=text)


ERRORS: dict[int, Callable[..., Any]] = {
    400: web.HTTPBadRequest,
    401: web.HTTPUnauthorized,
    403: web.HTTPForbidden,
    408: web.HTTPRequestTimeout,
    409: web.HTTPConflict,
    413: _too_large,
    415: web.HTTPUnsupportedMediaType,
    429: web.HTTPTooManyRequests,
    503: web.HTTPServiceUnavailable,
    504: web.HTTPGatewayTimeout,
}
