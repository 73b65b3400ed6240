"""The fast path: a call whose headers and body arrive in one read bypasses aiohttp's request and router.

Everything else, and everything unusual about a call, is left to aiohttp: this is aiohttp's own connection,
which takes some requests out of its queue. It relies on what is private in aiohttp, so it is used only with
the versions that it was tested with, and with others no request is taken out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import aiohttp
from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from toto_aio.http.fast.connection import FastConnection
from toto_aio.http.fast.served import Served, plain_path
from toto_aio.http.head_limit import LimitedConnection
from toto_aio.http.routes import ROUTES
from toto_aio.http.service import SERVICE

__all__ = ["FastConnection", "protocols"]

logger = logging.getLogger(__name__)

KNOWN = ("3.14.",)
"""The versions of aiohttp that it was tested with."""


def protocols(app: web.Application, server: web.Server, *, fast: bool) -> Callable[[], RequestHandler]:
    """The factory of the protocols of connections to a running app: without the fast path unless ``fast``.

    With other versions of aiohttp they are its own.
    """
    if not aiohttp.__version__.startswith(KNOWN):
        logger.warning(
            "fast_path and the limit of a head are off: they were never tested with aiohttp %s",
            aiohttp.__version__,
        )
        return server
    service, routes = app[SERVICE], app[ROUTES]
    posts = {route for route in app.router.routes() if route.method in (hdrs.METH_POST, hdrs.METH_ANY)}
    # What inspects requests and responses gets aiohttp's, and a path of somebody else's stays theirs.
    others = app.middlewares or set(app.on_response_prepare) - service.context.signals or posts - routes.every
    if not fast or others:
        return lambda: LimitedConnection(server, loop=server._loop, **server._kwargs)
    served = Served(app, server, service, routes, plain_path(routes.path))
    return lambda: FastConnection(served, server, loop=server._loop, **server._kwargs)
