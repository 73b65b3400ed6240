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
    coding_error,
    read_body,
    too_large,
)
from toto_aio.http.clients import is_behind
from toto_aio.http.cors import ALLOWED_METHODS, POST_ONLY, READ_ONLY
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
    read_only: Collection[str] = (),
) -> None:
    """Serve the root path and everything below it, except what ``others`` add routes for.

    ``unread`` are the methods that GET cannot call, and ``read_only`` paths of others that answer GET.
    Raises ``SettingsError`` for a root that isn't a path.
    """
    root = root_path(settings)
    handlers = _Handlers(app, settings, unread, read_only)
    at_root = handlers.add(root)  # first, as the router tries one after the other
    for add_other in others:
        add_other(app, settings)
    below = handlers.add(f"{root}/{{path:[\\s\\S]*}}")
    every = frozenset({*at_root.values(), *below.values()})
    app[ROUTES] = Routes(root, at_root[hdrs.METH_POST], below[hdrs.METH_POST], every)


class _Handlers:
    """What aiohttp calls for the requests of a service, by their verbs."""

    def __init__(
        self, app: web.Application, settings: Settings, unread: Collection[str], read_only: Collection[str]
    ) -> None:
        self._app = app
        self._settings = settings
        self._unread = unread
        self._read_only = read_only
        self._by_verb = {
            hdrs.METH_POST: self._post,
            hdrs.METH_GET: self._get,
            hdrs.METH_HEAD: self._get,
            hdrs.METH_OPTIONS: self._options,
            hdrs.METH_ANY: self._other,
        }

    def add(self, path: str) -> dict[str, web.AbstractRoute]:
        """Add the routes of a path, by their verbs."""
        return {
            verb: self._app.router.add_route(verb, path, handler, expect_handler=self._expect)
            for verb, handler in self._by_verb.items()
        }

    async def _post(self, request: web.Request) -> web.StreamResponse:
        service, settings = self._app[SERVICE], self._settings
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

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if is_behind(request):
            await request.writer.drain()
        return await self._app[SERVICE].get(request, request.match_info.get("path"))

    async def _options(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=204, headers={hdrs.ALLOW: self._allowed(request)})

    async def _other(self, request: web.Request) -> web.StreamResponse:
        refusal = _cannot_answer(request, InvalidParameters)
        return self._app[SERVICE].refuse(request, None, refusal, self._allowed(request))

    async def _expect(self, request: web.Request) -> web.StreamResponse | None:
        limit = self._settings.max_body_size
        refusal = None
        if request.method not in self._by_verb:
            refusal = _cannot_answer(request, BrokenBodyError)
        elif (request.content_length or 0) > limit:
            refusal = BrokenBodyError(too_large(limit), status=413)
        elif hdrs.CONTENT_ENCODING in request.headers:
            refusal = coding_error(request)
        return await meet_expectation(request, self._app[SERVICE], refusal)

    def _allowed(self, request: web.Request) -> str:
        path = request.match_info.get("path")
        if path in self._read_only:
            return READ_ONLY
        name = make_call({}, path).name
        by_path = self._settings.method_select != "parameter"
        return POST_ONLY if by_path and name in self._unread else ALLOWED_METHODS


def _cannot_answer(request: web.Request, kind: type[E]) -> E:
    return kind(f"Cannot answer {shortened(request.method)}: call methods by POST.", status=405)
