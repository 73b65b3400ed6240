"""Paths of very many segments, which cost the router milliseconds: it looks up every prefix of a path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yarl import URL

MAX_SEGMENTS = 256
"""The most segments of a path; the router needs 15 ms for the 8,000 that a request line can have."""
REST = "/..."


def bounded(make_request: Callable[..., Any]) -> Callable[..., Any]:
    """A factory of requests that leaves out the rest of such a path: it names no method and no file."""

    def make(message: Any, *arguments: Any) -> Any:
        if message.path.count("/") > MAX_SEGMENTS:
            path = message.path.partition("?")[0]
            if path.count("/") > MAX_SEGMENTS:
                path = "/".join(path.split("/", MAX_SEGMENTS)[:MAX_SEGMENTS]) + REST
                message = message._replace(path=path, url=URL.build(path=path, encoded=True))
        return make_request(message, *arguments)

    return make
