"""The OpenAPI document of a running service, at ``openapi.json`` below its root."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import hdrs, web

from toto_aio.auth.user_session import UserSession
from toto_aio.codecs.json_codec import JSON
from toto_aio.contract.visibility import Documents
from toto_aio.dispatch.method import Method
from toto_aio.exceptions import NotAuthorized, TotoException
from toto_aio.http.embedded import root_of
from toto_aio.http.reply import HTTPReply
from toto_aio.http.service import SERVICE, Service
from toto_aio.registry import callable_methods
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.urls import root_path

logger = logging.getLogger(__name__)

PAGE = "openapi.json"
"""The path below the root; a method of that name is called there."""


def add_route(app: web.Application, settings: Settings, functions: Mapping[str, Method]) -> None:
    """Serve the document of the methods and channels, unless ``openapi`` is off or a method has its path.

    Raises ``SettingsError`` if it has, and the option was set all the same.
    """
    if settings.openapi == "off":
        return
    path = f"{root_path(settings)}/{PAGE}"
    if PAGE in callable_methods(functions) and settings.method_select != "parameter":
        taken = f"{path} is the method {PAGE!r} already: rename it, or write openapi=off"
        if settings.openapi != "auto":
            raise SettingsError(f"openapi: {taken}")
        logger.warning("there is no OpenAPI document: %s", taken)
        return
    app.router.add_get(path, Page(app, settings, functions).serve)


class Document(NamedTuple):
    """The bytes of a document, and the tag that stands for them."""

    body: bytes
    tag: str


class Page:
    """Answers requests for the document."""

    def __init__(self, app: web.Application, settings: Settings, functions: Mapping[str, Method]) -> None:
        self._app = app
        self._settings = settings
        self._documents = Documents(functions, settings, self._made)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The document, 304 if the client has it, or the error of one who may not have it."""
        service = self._app[SERVICE]
        reply = HTTPReply(request, service.context)
        session = None
        try:
            if not self._documents.are_public:
                session = await _require_user(request, reply, service)
            document = await self._documents.shown_to(session)
        except TotoException as exc:
            return service.failure(exc, reply)
        reply.set_header(hdrs.ETAG, f'"{document.tag}"')
        # A cache asks whether it is still the same, which it is until the service is another.
        cache = "no-cache" if self._documents.are_public else "private, no-cache"
        reply.set_header(hdrs.CACHE_CONTROL, cache)
        if any(tag.value in (document.tag, "*") for tag in request.if_none_match or ()):
            return reply.response(b"", JSON.content_type, 304)
        return reply.response(document.body, JSON.content_type, enveloped=False)

    def _made(self, functions: Mapping[str, Method]) -> Document:
        from toto_aio.contract.openapi import openapi  # here, as no start needs it

        body = JSON.encode(openapi(functions, self._settings, root_of(self._app)))
        return Document(body, hashlib.sha256(body).hexdigest()[:32])


async def _require_user(request: web.Request, reply: HTTPReply, service: Service) -> UserSession:
    """The session of a user. Raises ``NotAuthorized`` (401) unless the request shows one."""
    caller = reply.caller = service.authenticator.caller(request, b"")
    if caller.must_verify:
        await caller.verify()
    session = await caller.retrieve()
    if session is None or not session.user_id:
        raise NotAuthorized(status=401)
    return session
