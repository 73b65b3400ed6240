"""What the connections of a server share on the fast path."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiohttp import web

from toto_aio.http.routes import Routes
from toto_aio.http.service import Service


@dataclass(frozen=True, slots=True)
class Served:
    """An app that is served, and the calls to it that the fast path answers."""

    app: web.Application
    server: web.Server
    service: Service
    routes: Routes
    path: re.Pattern[str]
    """The paths that it answers; the group is the path below the root."""


def plain_path(root: str) -> re.Pattern[str]:
    """The root path, and the paths below it that need no decoding."""
    if not root:
        return re.compile(r"/([\w./-]*)", re.ASCII)
    return re.compile(rf"{re.escape(root)}(?:/([\w./-]*))?", re.ASCII)
