"""Paths of very many segments, which are cut before they reach aiohttp's router."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from yarl import URL

from toto_aio.http.paths import MAX_SEGMENTS, bounded

LONGEST = "/a" * MAX_SEGMENTS


class Message(SimpleNamespace):
    """What aiohttp's parser makes of a request line."""

    def _replace(self, **changes: Any) -> Message:
        return Message(**{**vars(self), **changes})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/service/a", "/service/a"),
        (LONGEST, LONGEST),
        ("/service?a=" + "/" * 1000, "/service?a=" + "/" * 1000),
        ("/service/echo" + "/" * 5000, "/service/echo" + "/" * (MAX_SEGMENTS - 3) + "/..."),
        (LONGEST + "/a?b=1", "/a" * (MAX_SEGMENTS - 1) + "/..."),
    ],
    ids=["short", "longest", "query", "slashes", "segments"],
)
def test_paths(path: str, expected: str) -> None:
    """A longer path loses its rest and its query, and still names no method."""
    made = bounded(lambda message, *rest: message)(Message(path=path, url=URL(path, encoded=True)), 1, 2)
    assert made.path == expected
    assert str(made.url) == expected
