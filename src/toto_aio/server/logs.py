"""The logs of ``serve``: lines of text or JSON on stderr, and the access log.

An application that embeds the service configures the loggers ``toto_aio`` and ``aiohttp`` itself.
"""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from pythonjsonlogger.msgspec import MsgspecFormatter

FORMATS: dict[str, logging.Formatter] = {
    "text": logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"),
    "json": MsgspecFormatter(
        "{asctime}{levelname}{name}{message}",
        style="{",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "exception"},
    ),
}


def configure_logs(log_format: str) -> None:
    """Log to stderr from level INFO, unless the program has already configured its logs."""
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(FORMATS[log_format])
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    server = logging.getLogger("aiohttp.server")
    if _shorten_bad_requests not in server.filters:
        server.addFilter(_shorten_bad_requests)


def _shorten_bad_requests(record: logging.LogRecord) -> bool:
    """Log a request that is not HTTP in one line without a traceback: anyone can send one."""
    exc = record.exc_info[1] if record.exc_info else None
    if isinstance(exc, HttpProcessingError):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "%s: %s", (record.getMessage(), type(exc).__name__)
        record.exc_info = None
    return True


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
    path = request.rel_url.raw_path
    session_id = request.match_info.get("session_id") if isinstance(request, web.Request) else None
    return path.replace(session_id, "...") if session_id else path
