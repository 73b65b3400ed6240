"""The routes of the explorer: its page at ``explorer`` below the root, and what the page loads below it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiohttp import hdrs, web

from toto_aio.auth.key_session import KeySession
from toto_aio.auth.user_session import UserSession
from toto_aio.codecs.json_codec import JSON
from toto_aio.contract.visibility import Documents
from toto_aio.dispatch.method import Method
from toto_aio.exceptions import TotoException
from toto_aio.explorer.catalogue import account_methods, described
from toto_aio.explorer.files import HEADERS, PAGE, has_tag, read_files, tag_of
from toto_aio.http.reply import HTTPReply
from toto_aio.http.service import SERVICE, Service
from toto_aio.registry import callable_methods
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.urls import root_path

NAME = "explorer"
DATA = "service.json"
"""What the page knows of the service, as far as its caller may see it."""


def add_routes(app: web.Application, settings: Settings, *, functions: Mapping[str, Method]) -> None:
    """Serve the page. Raises ``SettingsError`` if a method has one of its paths."""
    files = read_files()
    path = f"{root_path(settings)}/{NAME}"
    _require_free(path, (DATA, *files), functions, settings)
    app.router.add_get(path, files.pop(PAGE).serve)
    app.router.add_get(f"{path}/", _without_slash)
    app.router.add_get(f"{path}/{DATA}", Data(app, settings, functions).serve)
    for name, file in files.items():
        app.router.add_get(f"{path}/{name}", file.serve)


class Data:
    """Answers requests for what the page knows of the service."""

    def __init__(self, app: web.Application, settings: Settings, functions: Mapping[str, Method]) -> None:
        self._app = app
        self._settings = settings
        self._accounts = account_methods(functions)
        self._documents = Documents(functions, settings, self._made)
        self._nothing = b""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """What the caller may see, and who that is; or 304 if the browser has it."""
        service = self._app[SERVICE]
        reply = HTTPReply(request, service.context)
        try:
            session = await _session(request, reply, service)
            document = await self._shown_to(session)
        except TotoException as exc:
            return service.failure(exc, reply)
        user = None if session is None else session.user_id
        scopes = session.scopes if isinstance(session, KeySession) else None
        body = b'{"user":%b,"scopes":%b,"service":%b}' % (JSON.encode(user), JSON.encode(scopes), document)
        tag = tag_of(body)
        for name, value in {
            **HEADERS,
            hdrs.CACHE_CONTROL: "private, no-cache",
            hdrs.ETAG: f'"{tag}"',
        }.items():
            reply.set_header(name, value)
        if has_tag(request, tag):
            return reply.response(b"", JSON.content_type, 304)
        return reply.response(body, JSON.content_type, enveloped=False)

    async def _shown_to(self, session: UserSession | None) -> bytes:
        if session is not None:
            return await self._documents.of(await self._documents.roles_of(session))
        if self._settings.explorer == "on":
            return await self._documents.of(frozenset())
        if not self._nothing:
            about = described({}, self._accounts, self._settings)
            about.pop("description", None)  # the package's documentation may be about its methods
            self._nothing = JSON.encode(about)
        return self._nothing

    def _made(self, functions: Mapping[str, Method]) -> bytes:
        return JSON.encode(described(functions, self._accounts, self._settings))


async def _session(request: web.Request, reply: HTTPReply, service: Service) -> UserSession | None:
    """The session of a user that the request shows, if it does. Raises ``InvalidHMAC``."""
    caller = reply.caller = service.authenticator.caller(request, b"")
    if caller.must_verify:
        await caller.verify()
    session = await caller.retrieve()
    return session if session is not None and session.user_id else None


async def _without_slash(request: web.Request) -> web.Response:
    # Relative, as only the browser knows what stands in front of the root.
    return web.Response(status=308, headers={hdrs.LOCATION: f"../{NAME}"})


def _require_free(
    path: str, names: Iterable[str], functions: Mapping[str, Method], settings: Settings
) -> None:
    """Raise ``SettingsError`` if a method has the path of the page, or of something below it."""
    methods = callable_methods(functions)
    for page, method in [(path, NAME), *((f"{path}/{each}", f"{NAME}.{each}") for each in names)]:
        if method in methods and settings.method_select != "parameter":
            raise SettingsError(
                f"explorer: {page} is the method {method!r} already: rename it, or write explorer=off"
            )
