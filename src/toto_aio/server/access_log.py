"""What aiohttp's server logs: a line for each request, and what clients do wrong."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from toto_aio.names import without_surrogates


class AccessLog(AbstractAccessLogger):
    """Logs a line for each request, without query and headers, which may have parameters and session ids."""

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Write the line."""
        fields = {
            "address": request.remote or "unix",
            "verb": request.method,
            "path": _path(request),
            "status": response.status,
            "size": response.body_length,
            "seconds": round(time, 6),
        }
        text = "%(address)s %(verb)s %(path)s %(status)s %(size)s bytes in %(seconds).3f s"
        self.logger.info(text, fields, extra=fields)


def _path(request: BaseRequest) -> str:
    """The path without the session id that Toto's clients write into the path of a socket."""
    path = without_surrogates(request.rel_url.raw_path)
    # aiohttp has none for bytes that are not HTTP, and its property asserts that there is one.
    match = request._match_info if isinstance(request, web.Request) else None
    session_id = None if match is None else match.get("session_id")
    return path.replace(session_id, "...") if session_id else path


def shorten_bad_requests() -> None:
    """Log what any client can cause in one line without a traceback: bad requests, connections that break."""
    server = logging.getLogger("aiohttp.server")
    if _shorten not in server.filters:
        server.addFilter(_shorten)


def _shorten(record: logging.LogRecord) -> bool:
    exc = record.exc_info[1] if record.exc_info else None
    if isinstance(exc, CAUSED_BY_CLIENTS):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "%s: %s", (record.getMessage(), type(exc).__name__)
        record.exc_info = None
    return True


CAUSED_BY_CLIENTS = (HttpProcessingError, web.RequestPayloadError, ConnectionResetError)
"""What aiohttp's server logs when a client sends something that isn't HTTP, a broken body, or disconnects."""
