"""The logs of ``serve``: lines of text or JSON on stderr, and the access log.

An application that embeds the service configures the loggers ``toto_aio`` and ``aiohttp`` itself.
"""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from pythonjsonlogger.msgspec import MsgspecFormatter

from toto_aio.names import without_surrogates


class Moments(logging.Formatter):
    """Writes the time of a line: a second is put into words once, which is a third of what a line costs."""

    _second = -1, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        second, text = self._second
        if second != int(record.created):
            second = int(record.created)
            text = time.strftime(self.default_time_format, time.localtime(second))
            self._second = second, text
        return f"{text},{int(record.msecs):03}"


class TextFormatter(Moments):
    """Formats a record so that no text in it can pass for another record, or control a terminal.

    Only the first line of a record begins at the margin, and control characters are escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).replace("\n", "\n    ")
        return text if text.isprintable() else _CONTROLS.sub(_escaped, text)


_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _escaped(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


class JSONFormatter(Moments, MsgspecFormatter):
    """Formats a record as a line of JSON; surrogates, which msgspec refuses, are escaped."""

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        try:
            return super().jsonify_log_record(log_data)
        except UnicodeEncodeError:
            return json.dumps(log_data, default=str)


FORMATS: dict[str, logging.Formatter] = {
    "text": TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"),
    "json": JSONFormatter(
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
    """Log what any client can cause in one line without a traceback: bad requests, connections that break."""
    exc = record.exc_info[1] if record.exc_info else None
    if isinstance(exc, CAUSED_BY_CLIENTS):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "%s: %s", (record.getMessage(), type(exc).__name__)
        record.exc_info = None
    return True


CAUSED_BY_CLIENTS = (HttpProcessingError, web.RequestPayloadError, ConnectionResetError)
"""What aiohttp's server logs when a client sends something that isn't HTTP, a broken body, or disconnects."""


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
    # aiohttp has none for bytes that are no HTTP, and its property asserts that there is one.
    match = request._match_info if isinstance(request, web.Request) else None
    session_id = None if match is None else match.get("session_id")
    return path.replace(session_id, "...") if session_id else path
