"""Event streams of channels, at ``events`` below the root: who gets one, and how all of them end.

    GET /service/events?channel=room:7&channel=room:8

A refusal comes before the stream begins, with the status of its error. A client that was here before, as it
shows an id, and is not admitted any more gets 204, upon which browsers stop connecting (HTML Standard, 9.2).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial

from aiohttp import hdrs, web

from toto_aio.auth.caller import Caller
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.stream_tickets import StreamTickets
from toto_aio.channels import MAX_HISTORY
from toto_aio.dispatch.answers import needs_its_own
from toto_aio.dispatch.call import ClientDisconnectedError
from toto_aio.dispatch.call_log import log_failure
from toto_aio.dispatch.method import Method
from toto_aio.exceptions import InvalidParameters, MethodNotFound, NotAuthorized, Unavailable, described
from toto_aio.http.cookies import FETCH_SITE
from toto_aio.http.event_ids import MAX_ID, NOWHERE, Positions, fits, read_id
from toto_aio.http.event_stream import CONTENT_TYPE, EventStream, StreamContext
from toto_aio.http.reply import HTTPReply
from toto_aio.http.response import CLIENT_CLOSED_REQUEST
from toto_aio.http.service import Service
from toto_aio.http.signatures import HMAC_HEADER
from toto_aio.http.time_limit import TIMEOUT_HEADER, end_in
from toto_aio.names import without_surrogates
from toto_aio.settings import Settings
from toto_aio.settings.urls import root_path

logger = logging.getLogger(__name__)

PATH = "events"
"""Where they are below the root, unless a method has this name."""
MAX_CHANNELS = 32
"""The most channels of a stream."""
LAST_ID = "Last-Event-ID"
CHANNEL, HISTORY, LAST_ID_PARAMETER, TICKET = "channel", "history", "last_event_id", "ticket"
"""The parameters of the query."""
OWN_PAGES = ("same-origin", "none")
"""What a browser says of a request without ``Origin`` that a page of the service makes, or its user."""


class EventStreams:
    """The event streams of one running app."""

    def __init__(self, service: Service, context: StreamContext, sessions: Sessions) -> None:
        self.open: set[EventStream] = set()
        """Those that are open, and those that are being admitted."""
        self._service = service
        self._context = context
        self._sessions = sessions
        self._tickets = StreamTickets(sessions)
        service.context.drain.on_begin(self.close)

    @property
    def waiting(self) -> int:
        """Bytes that wait to be sent."""
        return sum(stream.writer.waiting for stream in self.open if stream.writer is not None)

    def close(self) -> None:
        """End all streams, as the process is about to end: their clients connect to another one."""
        for stream in self.open:
            stream.leave()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Open a stream, and serve it until it ends."""
        reply = HTTPReply(request, self._service.context)
        reply.alone, reply.shared = False, True  # several functions may admit to it
        try:
            names, newest = _read_names(request), _read_newest(request)
            ends = end_in(request.headers) if TIMEOUT_HEADER in request.headers else None
        except InvalidParameters as exc:
            return self._service.failure(exc, reply, true_status=True)
        shown = _read_shown(request, names)
        find_caller = partial(self._find_caller, request)
        stream = EventStream(self._context, reply, names, shown or {}, newest, find_caller)
        self.open.add(stream)
        try:
            refusal = await self._admit(stream, ends)
            if refusal is not None:
                return self._refuse(refusal, stream, reply, was_here=shown is not None)
            if reply.headers_only:
                return reply.response(b"", CONTENT_TYPE)
            return await stream.run()
        except ClientDisconnectedError:
            return web.Response(status=CLIENT_CLOSED_REQUEST)
        finally:
            self.open.discard(stream)
            await stream.close()

    async def _admit(self, stream: EventStream, ends: float | None) -> Exception | None:
        """Admit a client, if that is possible now; returns what refuses it."""
        try:
            if self._service.context.drain.begun:
                stream.end()  # at once: the client comes back, to another process
            else:
                await stream.admit(ends)
        except Unavailable as exc:  # no refusal, after which a browser would not come back
            logger.warning("an event stream waits: %s", described(exc.__cause__ or exc))
        except ClientDisconnectedError:
            raise
        except web.HTTPException:  # of a function that uses aiohttp's exceptions
            return needs_its_own(stream.call.method)
        except Exception as exc:
            return exc
        return None

    def _refuse(
        self, exc: Exception, stream: EventStream, reply: HTTPReply, *, was_here: bool
    ) -> web.StreamResponse:
        """The response to a client that is not admitted, or not any more."""
        if was_here and isinstance(exc, NotAuthorized | MethodNotFound):
            log_failure(exc, stream.call, reply)
            reply.status = None
            return reply.response(b"", CONTENT_TYPE, 204)
        return self._service.failure(exc, reply, stream.call, true_status=True)

    async def _find_caller(self, request: web.Request) -> Caller:
        """The caller of a request, with the session. Raises what is wrong with what the request shows."""
        ticket = request.query.get(TICKET)
        if ticket is not None:
            session = await self._tickets.spend(ticket)
            if session is None:
                raise NotAuthorized("The ticket is unknown, late or used: ask for another.", status=401)
            caller = Caller(self._sessions, None, None, hides_id=True)
            caller.session, caller.consulted = session, True
            return caller
        authenticator = self._service.authenticator
        caller = authenticator.caller(request, b"")
        if _is_foreign(request) or (authenticator.keyed and HMAC_HEADER not in request.headers):
            caller.ignore_cookie()  # a browser can't sign it: there are tickets for that
        if caller.must_verify:
            await caller.verify()
        await caller.retrieve()
        return caller


EVENT_STREAMS = web.AppKey("toto_aio_event_streams", EventStreams)
"""The key of a running app for its event streams."""


def free_paths(settings: Settings, methods: Mapping[str, Method]) -> Sequence[str]:
    """The path of the streams below the root; none if a method has it."""
    if PATH in methods and settings.method_select != "parameter":
        logger.warning("there are no event streams: the method %r has their path: rename it", PATH)
        return ()
    return (PATH,)


def add_routes(app: web.Application, settings: Settings, *, paths: Sequence[str]) -> None:
    """Open streams at these paths below the root."""

    async def serve(request: web.Request) -> web.StreamResponse:
        return await app[EVENT_STREAMS].serve(request)

    for path in paths:
        app.router.add_get(f"{root_path(settings)}/{path}", serve)


def _read_names(request: web.Request) -> list[str]:
    """The channels that a request asks for. Raises ``InvalidParameters``."""
    names = list(dict.fromkeys(map(without_surrogates, request.query.getall(CHANNEL, ()))))
    if not names:
        raise InvalidParameters("channel: write the names of channels, as in events?channel=room:7")
    if len(names) > MAX_CHANNELS or not fits(names):
        raise InvalidParameters(
            f"channel: a stream has at most {MAX_CHANNELS} channels, whose names and positions take at most "
            f"{MAX_ID} bytes: open another stream for more"
        )
    return names


def _read_newest(request: web.Request) -> int:
    """How many publications that are kept a new client gets. Raises ``InvalidParameters``."""
    given = request.query.get(HISTORY, "0")
    if not (given.isascii() and given.isdecimal() and len(given) <= len(str(MAX_HISTORY))):
        raise InvalidParameters(f"history: write a number up to {MAX_HISTORY}, as in history=50")
    return min(int(given), MAX_HISTORY)


def _read_shown(request: web.Request, names: Sequence[str]) -> Positions | None:
    """Where a client was in the channels; None if it was not here before."""
    # The query is the page's, and may be older: the browser shows in the header where it came since.
    shown = request.headers.get(LAST_ID) or request.query.get(LAST_ID_PARAMETER)
    if not shown:
        return None
    found = read_id(shown) or {}
    known = {name: found[name] for name in names if name in found}
    return known or dict.fromkeys(names, NOWHERE)  # an id of something else, after which nothing is certain


def _is_foreign(request: web.Request) -> bool:
    """Whether a page of another origin makes a browser send a request that says nothing of its origin."""
    site = request.headers.get(FETCH_SITE)
    return hdrs.ORIGIN not in request.headers and site is not None and site not in OWN_PAGES
