"""The event handlers of a socket: called as fast as its client reads, while the session is valid."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from toto_aio.auth.user_session import UserSession
from toto_aio.awaiting import dropped, log_dropped
from toto_aio.events.manager import EventManager, require_free_name
from toto_aio.events.registration import Registration
from toto_aio.events.subscription import Arrival
from toto_aio.exceptions import InvalidParameters, NotAuthorized
from toto_aio.tasks import Tasks
from toto_aio.websocket.frames import Format
from toto_aio.websocket.sender import FrameSender

logger = logging.getLogger(__name__)


class TooManyError(InvalidParameters):
    """A socket, or its session, has as many handlers or subscriptions as it may have."""


class HandlerLimits:
    """The most event handlers of a socket, and of the sockets of one session in this process together.

    Threads register handlers too, so the counts have a lock. It may count something else: ``what``, for which
    the options that end with ``option`` give the limits.
    """

    def __init__(
        self, of_socket: int, of_session: int, what: str = "event handlers", option: str = "handlers"
    ) -> None:
        self._what = what
        self._option = option
        self._of_socket = of_socket
        self._of_session = of_session
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, session: UserSession | None, socket_has: int) -> None:
        """Count another handler of a socket. Raises ``TooManyError``."""
        if socket_has >= self._of_socket:
            raise TooManyError(
                f"A socket has at most {self._of_socket} {self._what} (socket_{self._option})."
            )
        if session is None:
            return
        key = session.record.key
        with self._lock:
            count = self._counts.get(key, 0)
            if count >= self._of_session:
                raise TooManyError(
                    f"The sockets of a session have at most {self._of_session} {self._what} "
                    f"(session_{self._option})."
                )
            self._counts[key] = count + 1

    def move(self, left: UserSession, session: UserSession) -> None:
        """Count a handler of one session as that of another, however many that has."""
        self.remove(left)
        with self._lock:
            self._counts[session.record.key] = self._counts.get(session.record.key, 0) + 1

    def remove(self, session: UserSession | None) -> None:
        """Count a handler no longer."""
        if session is None:
            return
        key = session.record.key
        with self._lock:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]


class SocketEvents:
    """The handlers that the calls of one socket have registered, within ``limits``.

    A handler lasts until the socket closes, or the session that it was registered under ends.
    """

    def __init__(self, events: EventManager | None, sender: FrameSender, limits: HandlerLimits) -> None:
        self._events = events
        self._sender = sender
        self._limits = limits
        self._registrations: dict[Registration, UserSession | None] = {}
        self._ended: set[str] = set()
        """The keys of sessions that have ended here, whose calls may still run."""
        self._tasks = Tasks()
        self._warned = self._closed = False

    def listen(
        self,
        name: str,
        function: Callable[[Any], Any],
        encoding: Format,
        session: UserSession | None,
        *,
        pushes: bool,
    ) -> Registration:
        """Call ``function`` with each event until the socket closes or the ``session`` ends.

        ``pushes``: all that the function does is send the event in this format. Raises ``InvalidParameters``
        if the socket, or its session, has too many handlers, and ``NotAuthorized`` if that has ended here.
        """
        assert self._events is not None
        require_free_name(name)
        if self._has_ended(session):
            raise NotAuthorized("The session of this call has ended, or has left the socket.")
        self._limits.add(session, len(self._registrations))
        registration = Registration(name, function)
        self._registrations[registration] = session
        self._events.on_loop(self._listen, registration, encoding, pushes)
        return registration

    def sessions(self) -> Iterator[UserSession]:
        """The sessions that handlers were registered under."""
        return iter([session for session in self._registrations.values() if session is not None])

    def end_session(self, key: str) -> None:
        """Remove the handlers that were registered under a session, and take no more."""
        self._ended.add(key)
        for registration, session in tuple(self._registrations.items()):
            if session is not None and session.record.key == key:
                self._remove(registration)

    def hand_over(self, key: str, session: UserSession) -> None:
        """Let the handlers that were registered under a session end with another one."""
        self._ended.discard(session.record.key)  # it may have left before
        for registration, left in tuple(self._registrations.items()):
            if left is not None and left.record.key == key:
                self._limits.move(left, session)
                self._registrations[registration] = session

    async def close(self) -> None:
        """Remove all handlers."""
        self._closed = True
        await self._tasks.cancel()
        for registration in tuple(self._registrations):
            self._remove(registration)

    def _has_ended(self, session: UserSession | None) -> bool:
        return session is not None and session.record.key in self._ended

    def _remove(self, registration: Registration) -> None:
        assert self._events is not None
        self._forget(registration)
        self._events.remove_handler(registration)

    def _forget(self, registration: Registration) -> None:
        """Count a handler no longer, unless that was done before."""
        if registration in self._registrations:
            self._limits.remove(self._registrations.pop(registration))

    def _listen(self, registration: Registration, encoding: Format, pushes: bool) -> None:
        assert self._events is not None
        if self._closed or self._has_ended(self._registrations.get(registration)):
            self._forget(registration)  # a thread has registered it meanwhile
        if registration not in self._registrations:
            return  # its session has ended before the loop came to it
        name = registration.name

        def lagged(count: int) -> None:
            self._sender.add(encoding.frame({"lagged": {"event": name, "count": count}}))

        push = partial(self._push, encoding.frame) if pushes else None
        registration.subscription = self._events.subscribe(
            name, on_lagged=lagged, take=push, on_slow=self._warn
        )
        self._tasks.start(self._consume(registration), f"socket event {name}")

    def _push(self, encode: Callable[[Any], bytes], event: Arrival) -> bool:
        """Send an event as it arrives; False if it has to wait for the client."""
        if not self._sender.has_room:
            return False
        try:
            self._sender.put(event.encoded(encode))
        except Exception:
            return False  # the handler will fail in the same way, where that is logged
        return True

    async def _consume(self, registration: Registration) -> None:
        """Call the handler with each event, once there is room for what it sends."""
        assert registration.subscription is not None
        try:
            async with registration.subscription as events:
                async for args in events:
                    await self._sender.room()
                    if registration not in self._registrations:
                        return
                    await self._call(registration, args)
        except BufferError:  # of the report of lost events
            self._warn(registration.name)
        finally:
            self._forget(registration)

    async def _call(self, registration: Registration, args: Any) -> None:
        try:
            outcome = registration.function(args)
            if inspect.isawaitable(outcome):
                await outcome
            if dropped:
                log_dropped()
        except BufferError:
            self._warn(registration.name)
        except Exception:
            logger.exception("the handler of the event %r failed", registration.name)

    def _warn(self, name: str) -> None:
        """Log once that the client reads too slowly."""
        if not self._warned:
            self._warned = True
            logger.warning("a socket reads too slowly: events such as %r are dropped", name)
