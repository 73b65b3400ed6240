"""The fast path: a call whose head and body come in one read is answered past aiohttp's request and router.

Everything else, and whatever is unusual about a call, is left to aiohttp: this is its own connection, which
takes some requests out of its queue. It leans on what is private in aiohttp, so it serves with the versions
that it was tried with, and with others nothing is taken out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import aiohttp
from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from toto_aio.http.fast.connection import FastHandler
from toto_aio.http.fast.path import FAST_PATH, FastPath, Served

__all__ = ["FAST_PATH", "FastHandler", "FastPath", "protocols"]

logger = logging.getLogger(__name__)

KNOWN = ("3.14.",)
"""The versions of aiohttp that this was tried with."""


def protocols(app: web.Application, server: web.Server, *, fast: bool) -> Callable[[], RequestHandler]:
    """What makes the protocol of each connection to the server of an app: aiohttp's own unless ``fast``."""
    path = app[FAST_PATH]
    posts = {route for route in app.router.routes() if route.method in (hdrs.METH_POST, hdrs.METH_ANY)}
    # Who looks at requests and responses gets aiohttp's, and a path that is somebody else's stays that.
    if not fast or app.middlewares or set(app.on_response_prepare) - path.signals or posts - path.routes:
        return server
    if not aiohttp.__version__.startswith(KNOWN):
        logger.warning("fast_path is off: it was never tried with aiohttp %s", aiohttp.__version__)
        return server
    served = Served(app, server, path)
    return lambda: FastHandler(served, server, loop=server._loop, **server._kwargs)
