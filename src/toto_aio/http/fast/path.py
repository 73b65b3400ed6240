"""What a service answers on the fast path."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from toto_aio.codecs import Codec
from toto_aio.http.request import View

Answer = Callable[[View, Codec | None, bytes, str | None], Coroutine[Any, Any, web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class FastPath:
    """What a service answers so: POST to its root, and to plain paths below it."""

    answer: Answer
    codec: Callable[[Any], Codec | None]
    root: web.AbstractRoute
    below: web.AbstractRoute
    path: re.Pattern[str]
    """What it answers; its group is the path below the root."""
    routes: frozenset[web.AbstractRoute]
    """All routes of the service."""
    signals: frozenset[Any]
    """What hears of responses and is the service's own: the answers given here heed it by themselves."""
    max_body_size: int


FAST_PATH: web.AppKey[FastPath] = web.AppKey("toto_aio_fast_path", FastPath)
"""Where an app has it."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the connections of a server share."""

    app: web.Application
    server: web.Server
    path: FastPath
