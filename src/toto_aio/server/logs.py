"""The logs of ``serve``: lines of text or JSON on stderr.

An application that embeds the service configures the loggers ``toto_aio`` and ``aiohttp`` itself.
"""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any

from pythonjsonlogger.msgspec import MsgspecFormatter


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
