"""The WebSockets of one app: who may open one, with which session, and how they are closed at shutdown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import hdrs, web

from toto_aio.auth.user_session import UserSession
from toto_aio.codecs import Codec
from toto_aio.exceptions import (
    InvalidHMAC,
    InvalidParameters,
    NotAuthorized,
    TooManyAttempts,
    Unavailable,
    described,
)
from toto_aio.http.bearer import challenge, shown_session_id
from toto_aio.http.embedded import root_of
from toto_aio.http.origins import Origins
from toto_aio.http.proxies import TrustedProxies
from toto_aio.http.signatures import HMAC_HEADER
from toto_aio.importer import load
from toto_aio.models import ClientInfo
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.urls import normal_path, root_path
from toto_aio.websocket.connection import Socket
from toto_aio.websocket.open_socket import Opening, OpenSocket, SocketContext
from toto_aio.websocket.strictness import StrictWebSocket

logger = logging.getLogger(__name__)

HEARTBEAT = 30.0
"""Seconds between two pings; a client that doesn't answer one within half of that has gone."""


Make = Callable[[Opening], OpenSocket]
"""Makes the socket of a protocol: ``Socket`` that of the service's own frames, and of JSON-RPC."""


class Sockets:
    """The WebSocket transport of one running app."""

    def __init__(
        self,
        settings: Settings,
        context: SocketContext,
        codecs: Mapping[str, Codec],
        origins: Origins,
        proxies: TrustedProxies,
    ) -> None:
        self.open: set[OpenSocket] = set()
        self.settings = settings
        self.context = context
        self.codecs = codecs
        self.protocols: dict[str, Any] = {}
        """What is kept for other protocols, by their names."""
        self._origins = origins
        self._proxies = proxies
        self._stopping = asyncio.Event()

    async def serve(
        self,
        request: web.Request,
        make: Make = Socket,
        *,
        protocols: Sequence[str] = (),
        heartbeat: float | None = HEARTBEAT,
    ) -> web.StreamResponse:
        """Open a socket, and serve it until it is closed.

        ``protocols`` are the sub-protocols to choose from; without ``heartbeat`` it looks itself whether its
        client is there.
        """
        if self._origins.trusts(request) is False and not self._origins.any:
            raise web.HTTPForbidden(text="Pages of this origin may not open a socket.")
        response = StrictWebSocket(
            heartbeat=heartbeat,
            timeout=2.0,
            protocols=protocols,
            max_msg_size=self.settings.max_body_size + 1,  # aiohttp refuses a message of that many bytes
            autoclose=False,  # it would answer every code with 1000
            autoping=False,  # a flood of pings would be answered in one turn of the loop
            compress=False,  # its state would be most of what an idle socket costs
            decode_text=False,  # codecs read bytes
        )
        if not response.can_prepare(request):
            raise web.HTTPUpgradeRequired(
                text="This is the address of a WebSocket.", headers={"Upgrade": "websocket"}
            )
        if self._stopping.is_set():
            raise web.HTTPServiceUnavailable(text="The service is stopping.")
        session = await self._session(request)
        address = self._proxies.client(request.remote, request.headers.getall("x-forwarded-for", ()))
        client = ClientInfo(address, request.headers.get(hdrs.USER_AGENT, ""))
        await response.prepare(request)
        socket = make(Opening(self.context, request, response, client, session))
        if self._stopping.is_set():  # it began while the session was loaded
            await socket.close(*socket.stopping)
            return response
        await self._run(socket)
        return response

    @property
    def waiting(self) -> int:
        """Bytes that wait to be sent."""
        return sum(socket.sender.waiting for socket in self.open)

    async def close(self) -> None:
        """Close all sockets, as the service is stopping."""
        self._stopping.set()
        await asyncio.gather(*(socket.close(*socket.stopping) for socket in self.open))

    async def _session(self, request: web.Request) -> UserSession | None:
        """The session that opens a socket. Raises the HTTP error of one that may not."""
        try:
            return await self._load_session(request)
        except InvalidHMAC as exc:
            logger.info("a socket was not opened: 1008, %s", exc.reason)
            raise web.HTTPForbidden(text=str(exc.value)) from exc
        except NotAuthorized as exc:  # an API key that is wrong
            logger.info("a socket was not opened: 1004, %s", exc.value)
            headers = {hdrs.WWW_AUTHENTICATE: challenge(root_of(request.app))}
            raise web.HTTPUnauthorized(text=str(exc.value), headers=headers) from exc
        except TooManyAttempts as exc:
            headers = {hdrs.RETRY_AFTER: str(exc.retry_after)}
            raise web.HTTPTooManyRequests(text=str(exc.value), headers=headers) from exc
        except InvalidParameters as exc:
            raise web.HTTPBadRequest(text=str(exc.value)) from exc
        except Unavailable as exc:
            logger.warning("a socket was not opened: %s", described(exc.__cause__ or exc))
            raise web.HTTPServiceUnavailable(text=str(exc.value)) from exc

    async def _load_session(self, request: web.Request) -> UserSession | None:
        """The session of the headers, the cookie, or the id in the URL, which can't be signed."""
        authenticator = self.context.authenticator
        session_id = request.match_info.get("session_id")
        if session_id and shown_session_id(request.headers) is None:
            return await authenticator.caller_of_url(session_id).retrieve()
        caller = authenticator.caller(request, b"")
        if not self._origins.trusts(request):  # other than a GET, a socket must say where it comes from
            caller.ignore_cookie()
        if authenticator.keyed and caller.by_cookie and HMAC_HEADER not in request.headers:
            return None  # a browser can't sign this request: the first frame shows the session
        return await caller.retrieve()

    async def _run(self, socket: OpenSocket) -> None:
        """Serve a socket, with the methods that are called when one is opened and closed."""
        self.open.add(socket)
        try:
            if self.settings.socket_opened_method:
                await socket.opened(self.settings.socket_opened_method)
            await socket.run()
        finally:
            self.open.discard(socket)
            if self.settings.socket_closed_method:
                await socket.closed(self.settings.socket_closed_method)


SOCKETS: web.AppKey[Sockets] = web.AppKey("toto_aio_sockets", Sockets)
"""The key of a running app for its WebSocket transport."""


CENTRIFUGE = "connection/websocket"
"""Where the clients of Centrifuge connect, below the root."""


def add_centrifuge_route(app: web.Application, settings: Settings) -> None:
    """Open connections to clients of Centrifuge, whose protocol is imported with the first one."""

    async def serve(request: web.Request) -> Any:
        return await load("toto_aio.centrifuge.endpoint:serve")(request, app[SOCKETS])

    app.router.add_get(f"{root_path(settings)}/{CENTRIFUGE}", serve)


def add_route(app: web.Application, settings: Settings) -> None:
    """Open sockets at ``socket_path``, by default ``websocket`` below the root.

    A session id may follow, with or without a slash, as Toto's clients write it. Raises ``SettingsError``.
    """
    root = root_path(settings)
    path = settings.socket_path or f"{root}/websocket"
    if not path.startswith("/"):
        raise SettingsError(f"socket_path: write {root}/{path} (below the root, as in Toto), or /{path}")
    path = normal_path("socket_path", path, "/service/websocket") or "/"

    async def serve(request: web.Request) -> Any:
        return await app[SOCKETS].serve(request)

    app.router.add_get(f"{path}{{slash:/?}}{{session_id:([\\w-]{{16,256}})?}}", serve)
