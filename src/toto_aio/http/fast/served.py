"""What the connections of a server share about a service on the fast path."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from aiohttp import web, web_app, web_urldispatcher

from toto_aio.http.embedded import BODIES, Embedded, is_alone
from toto_aio.http.response import observes
from toto_aio.http.routes import Routes
from toto_aio.http.service import SERVICE, Service


@dataclass(frozen=True, slots=True)
class Served:
    """A running service, and the calls to it that the fast path answers."""

    apps: tuple[web.Application, ...]
    """Its app and those around it, from the innermost."""
    server: web.Server
    service: Service
    routes: Routes
    path: re.Pattern[str]
    """The paths that it answers; the group is the path below the root."""


def serve_fast(embedded: Embedded, server: web.Server) -> Served | None:
    """The service for the fast path; None if aiohttp must have its calls.

    What inspects requests and responses gets aiohttp's, and a path of somebody else's stays theirs.
    """
    app, routes, path = embedded.app, embedded.routes, embedded.path
    service = app[SERVICE]
    apps = (app, *reversed(embedded.around))
    posts = {route for route in app.router.routes() if route.method in BODIES}
    if (
        not service.fast_path
        or observes(app, service.context.signals)
        or any(map(observes, embedded.around))
        or not all(map(_is_aiohttps, apps))
        or posts - routes.every
        or not is_alone(embedded)
        or set(path) & set("%{")
    ):
        return None
    return Served(apps, server, service, routes, plain_path(path))


def _is_aiohttps(app: web.Application) -> bool:
    """Whether aiohttp's own functions handle and route requests: tools that trace requests replace them."""
    return _is_from(web_app, type(app)._handle) and _is_from(web_urldispatcher, type(app.router).resolve)


def _is_from(module: ModuleType, function: Callable[..., Any]) -> bool:
    """Whether a function was written there, whatever name and module a wrapper around it shows."""
    return type(function) is FunctionType and function.__globals__ is vars(module)


def plain_path(root: str) -> re.Pattern[str]:
    """The root path, and the paths below it that need no decoding."""
    if not root:
        return re.compile(r"/([\w./-]*)", re.ASCII)
    return re.compile(rf"{re.escape(root)}(?:/([\w./-]*))?", re.ASCII)
