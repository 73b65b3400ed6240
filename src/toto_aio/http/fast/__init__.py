"""The fast path: a call whose headers and body arrive in one read bypasses aiohttp's request and router.

Everything else, and everything unusual about a call, is left to aiohttp: this is aiohttp's own connection,
which takes some requests out of its queue. It relies on what is private in aiohttp, so it is used only with
the versions that it was tested with, and with others no request is taken out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import aiohttp
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from toto_aio.http.embedded import find_services, is_only_a_service
from toto_aio.http.fast.connection import FastConnection
from toto_aio.http.fast.served import serve_fast
from toto_aio.http.head_limit import LimitedConnection

__all__ = ["FastConnection", "protocols"]

logger = logging.getLogger(__name__)

KNOWN = ("3.14.",)
"""The versions of aiohttp that it was tested with."""


def protocols(app: web.Application, server: web.Server, *, fast: bool) -> Callable[[], RequestHandler]:
    """The factory of the protocols of connections to a running app: without the fast path unless ``fast``.

    The app is a service, or embeds some. With other versions of aiohttp the protocols are its own. A service
    alone decodes its bodies itself.
    """
    if not aiohttp.__version__.startswith(KNOWN):
        logger.warning(
            "fast_path and the limit of a head are off: they were never tested with aiohttp %s",
            aiohttp.__version__,
        )
        return server
    found = [serve_fast(service, server) for service in find_services(app)] if fast else []
    served = tuple(service for service in found if service is not None)
    options = {**server._kwargs, "loop": server._loop, "auto_decompress": not is_only_a_service(app)}
    if not served:
        return lambda: LimitedConnection(server, **options)
    return lambda: FastConnection(served, server, **options)
