"""The WebSockets of one process: who may open one, whose session it has, and when it is closed."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any

from aiohttp import WSCloseCode, hdrs, web

from toto_aio.auth.caller import Caller
from toto_aio.dispatch.dispatcher import Dispatcher
from toto_aio.events.manager import EventManager
from toto_aio.exceptions import InvalidHMAC, InvalidParameters, Unavailable
from toto_aio.http.authentication import Callers
from toto_aio.http.origins import Origins
from toto_aio.http.proxies import TrustedProxies
from toto_aio.http.readers import SlowReaders
from toto_aio.http.signatures import HMAC_HEADER, SESSION_HEADER
from toto_aio.settings import Settings, SettingsError
from toto_aio.signing import SignedRequest
from toto_aio.websocket.connection import HEARTBEAT, Socket

logger = logging.getLogger(__name__)

LOOK_INTERVAL = 1.0
"""Seconds between two looks for sessions whose time has passed."""
CHECK_INTERVAL = 30.0
"""Seconds between two looks whether each session is alive still, should no event have told of its end."""
CHECKS = 16
"""Sessions that are looked up at once."""


class Sockets:
    """The WebSocket transport of one app. ``dispatch`` and ``events`` are there while the app runs."""

    dispatch: Dispatcher
    events: EventManager | None

    def __init__(
        self,
        settings: Settings,
        callers: Callers,
        origins: Origins,
        proxies: TrustedProxies,
        readers: SlowReaders,
    ) -> None:
        self._settings = settings
        self._callers = callers
        self._origins = origins
        self._proxies = proxies
        self._readers = readers
        self._open: set[Socket] = set()
        self._stopping = False

    def add_route(self, app: web.Application) -> None:
        """Open sockets at ``socket_path``, by default ``websocket`` below the root.

        A session id may stand behind it, with or without a slash, as Toto's clients write it.
        """
        path = self._settings.socket_path or f"{self._settings.root.rstrip('/')}/websocket"
        path = f"/{path.strip('/')}"
        if set(path) & set("{}?#"):
            raise SettingsError(f"socket_path: write a path such as /service/websocket, not {path!r}")
        app.router.add_get(f"{path}{{slash:/?}}{{session_id:([\\w-]{{16,256}})?}}", self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._origins.trusts(request) is False and not self._origins.any:
            raise web.HTTPForbidden(text="Pages of this origin may not open a socket.")
        response = web.WebSocketResponse(
            heartbeat=HEARTBEAT,
            timeout=2.0,
            max_msg_size=self._settings.max_body_size,
            compress=False,  # whose state would be the most of what an idle socket costs
            decode_text=False,  # as the codecs read bytes
        )
        if not response.can_prepare(request):
            raise web.HTTPUpgradeRequired(
                text="This is the address of a WebSocket.", headers={"Upgrade": "websocket"}
            )
        if self._stopping:
            raise web.HTTPServiceUnavailable(text="The service is stopping.")
        socket = Socket(
            request,
            response,
            self.dispatch,
            self._callers.sessions,
            self.events,
            self._readers,
            address=self._proxies.client(request.remote, request.headers.getall("x-forwarded-for", ())),
            agent=request.headers.get(hdrs.USER_AGENT, ""),
            debug=self._settings.debug,
        )
        try:
            await self._show(socket, self._caller(request))
        except InvalidHMAC as exc:
            raise web.HTTPForbidden(text=str(exc.value)) from exc
        except InvalidParameters as exc:
            raise web.HTTPBadRequest(text=str(exc.value)) from exc
        except Unavailable as exc:
            raise web.HTTPServiceUnavailable(text=str(exc.value)) from exc
        await response.prepare(request)
        self._open.add(socket)
        try:
            if self._settings.socket_opened_method:
                await socket.call(self._settings.socket_opened_method)
            await socket.run(lambda message: self._show_later(socket, message))
        finally:
            self._open.discard(socket)
            if self._settings.socket_closed_method:
                await socket.call(self._settings.socket_closed_method)
        return response

    def _caller(self, request: web.Request) -> Caller:
        """Who opens a socket: by header, by cookie, or by the id in the URL, which cannot be signed."""
        session_id = request.match_info["session_id"]
        if session_id and SESSION_HEADER not in request.headers:
            if self._callers.keyed:
                raise InvalidHMAC
            return Caller(self._callers.sessions, session_id, None)
        caller = self._callers.of(request, b"")
        if not self._origins.trusts(request):  # a GET need not say where it comes from, a socket has to
            caller.leave_out_cookie()
        return caller

    async def _show(self, socket: Socket, caller: Caller) -> None:
        # A browser cannot sign the request that opens a socket: its first frame shows the session.
        if not (self._callers.keyed and caller.by_cookie and HMAC_HEADER not in socket.request.headers):
            socket.session = await caller.retrieve()

    async def _show_later(self, socket: Socket, message: dict[str, Any]) -> bool:
        """Take the session that a socket's first frame shows; False if it shows none."""
        session_id = message.get("session_id")
        if socket.session is not None or not isinstance(session_id, str):
            return False
        texts = {name: message.get(name) for name in ("signature", "timestamp", "nonce")}
        if not all(text is None or isinstance(text, str) for text in texts.values()):
            raise InvalidParameters("signature, timestamp and nonce must be text.")
        request = SignedRequest(
            b"",
            method=hdrs.METH_GET,
            target=socket.request.raw_path,
            session_id=session_id,
            **texts,  # type: ignore[arg-type]
        )

        verify = partial(self._callers.verify, request) if self._callers.keyed else None
        socket.session = await Caller(self._callers.sessions, session_id, verify).retrieve()
        return True

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Bytes that wait to be sent."""
        return sum(socket.outbox.waiting for socket in self._open)

    async def session_ended(self, end: dict[str, str]) -> None:
        """Close the sockets of a session that has ended: ``key``, or of a ``user_id`` but for ``keep``."""
        for socket in tuple(self._open):
            session = socket.session
            if session is None:
                continue
            key = session.record.key
            if key == end.get("key") or (session.user_id == end.get("user_id") and key != end.get("keep")):
                self._close_ended(socket)

    async def watch_sessions(self) -> None:
        """Close the sockets whose session has expired, or has ended somewhere without a word."""
        turn = asyncio.Semaphore(CHECKS)
        due = time.monotonic() + CHECK_INTERVAL
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            everyone = time.monotonic() >= due
            if everyone:
                due = time.monotonic() + CHECK_INTERVAL
            now = time.time()
            checks = [
                self._check(socket, turn)
                for socket in tuple(self._open)
                if socket.session is not None and (everyone or socket.session.expires <= now)
            ]
            await asyncio.gather(*checks)

    async def close(self) -> None:
        """Close all sockets: the service is stopping."""
        self._stopping = True
        closing = (socket.close(WSCloseCode.GOING_AWAY, "The service is stopping") for socket in self._open)
        await asyncio.gather(*closing)

    async def _check(self, socket: Socket, turn: asyncio.Semaphore) -> None:
        session = socket.session
        assert session is not None
        try:
            async with turn:
                record = await self._callers.sessions.store.get_session(session.record.key)
        except Exception:
            logger.debug("the session of a socket could not be looked up", exc_info=True)
            return
        if record is None and socket.session is session:
            self._close_ended(socket)
        elif record is not None:
            session.record.expires = record.expires

    def _close_ended(self, socket: Socket) -> None:
        socket.close_soon(WSCloseCode.POLICY_VIOLATION, "The session has ended")
