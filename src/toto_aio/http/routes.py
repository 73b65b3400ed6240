"""The routes of a service in an aiohttp application: they read requests, and pass them to ``Service``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import hdrs, web

from toto_aio.dispatch.call import make_call
from toto_aio.exceptions import InvalidParameters, TotoException
from toto_aio.http.body import (
    BrokenBodyError,
    body_at_hand,
    read_body,
    too_large,
)
from toto_aio.http.clients import is_behind
from toto_aio.http.cors import ALLOWED_METHODS, POST_ONLY
from toto_aio.http.expect import meet_expectation
from toto_aio.http.response import CLIENT_CLOSED_REQUEST
from toto_aio.http.service import SERVICE
from toto_aio.names import shortened
from toto_aio.settings import Settings
from toto_aio.settings.urls import root_path

E = TypeVar("E", bound=InvalidParameters)


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes of a service: POST to its ``root`` path and ``below`` it, and ``every`` one."""

    path: str
    root: web.AbstractRoute
    below: web.AbstractRoute
    every: frozenset[web.AbstractRoute]


ROUTES = web.AppKey("toto_aio_routes", Routes)
"""The key of an app for the routes of its service."""


def add_routes(
    app: web.Application,
    settings: Settings,
    others: Sequence[Callable[[web.Application, Settings], None]] = (),
    *,
    unread: Collection[str] = (),
) -> None:
    """Serve the root path and everything below it, except what ``others`` add routes for.

    ``unread`` are the methods that GET cannot call.
    Raises ``SettingsError`` for a root that isn't a path.
    """
    root = root_path(settings)

    async def post(request: web.Request) -> web.StreamResponse:
        service = app[SERVICE]
        codec = service.codec(request)
        try:
            if is_behind(request):
                await request.writer.drain()
            # Most bodies arrive with their headers, and are read without a coroutine.
            body = body_at_hand(request)
            if not body or len(body) > settings.max_body_size:
                body = await read_body(request, body, settings.max_body_size, settings.body_timeout)
        except TotoException as exc:
            return service.refuse(request, codec, exc)
        except ConnectionError:
            return web.Response(status=CLIENT_CLOSED_REQUEST)
        return await service.post(request, codec, body, request.match_info.get("path"))

    async def get(request: web.Request) -> web.StreamResponse:
        if is_behind(request):
            await request.writer.drain()
        return await app[SERVICE].get(request, request.match_info.get("path"))

    def allowed(request: web.Request) -> str:
        name = make_call({}, request.match_info.get("path")).name
        return POST_ONLY if name in unread and settings.method_select != "parameter" else ALLOWED_METHODS

    async def options(request: web.Request) -> web.StreamResponse:
        return web.Response(status=204, headers={hdrs.ALLOW: allowed(request)})

    async def other(request: web.Request) -> web.StreamResponse:
        refusal = _cannot_answer(request, InvalidParameters)
        return app[SERVICE].refuse(request, None, refusal, allowed(request))

    async def expect(request: web.Request) -> web.StreamResponse | None:
        refusal = None
        if request.method not in handlers:
            refusal = _cannot_answer(request, BrokenBodyError)
        elif (request.content_length or 0) > settings.max_body_size:
            refusal = BrokenBodyError(too_large(settings.max_body_size), status=413)
        return await meet_expectation(request, app[SERVICE], refusal)

    handlers = {
        hdrs.METH_POST: post,
        hdrs.METH_GET: get,
        hdrs.METH_HEAD: get,
        hdrs.METH_OPTIONS: options,
        hdrs.METH_ANY: other,
    }

    def add(path: str) -> dict[str, web.AbstractRoute]:
        return {
            method: app.router.add_route(method, path, handler, expect_handler=expect)
            for method, handler in handlers.items()
        }

    at_root = add(root)  # first, as the router tries one after the other
    for add_other in others:
        add_other(app, settings)
    below = add(f"{root}/{{path:[\\s\\S]*}}")
    every = frozenset({*at_root.values(), *below.values()})
    app[ROUTES] = Routes(root, at_root[hdrs.METH_POST], below[hdrs.METH_POST], every)


def _cannot_answer(request: web.Request, kind: type[E]) -> E:
    return kind(f"Cannot answer {shortened(request.method)}: call methods by POST.", status=405)
