"""The event handlers of a socket: called as fast as its client reads, while the session is valid."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from toto_aio.auth.sessions import UserSession
from toto_aio.events.manager import EventManager, Registration, require_free_name
from toto_aio.events.subscription import Arrival
from toto_aio.exceptions import InvalidParameters
from toto_aio.tasks import Tasks
from toto_aio.websocket.frames import Format
from toto_aio.websocket.sender import FrameSender

logger = logging.getLogger(__name__)


class SocketEvents:
    """The handlers that the calls of one socket have registered, at most ``limit`` of them.

    A handler lasts until the socket closes, or the session that it was registered under ends.
    """

    def __init__(self, events: EventManager | None, sender: FrameSender, limit: int) -> None:
        self._events = events
        self._sender = sender
        self._limit = limit
        self._registrations: dict[Registration, UserSession | None] = {}
        self._tasks = Tasks()
        self._warned = False

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
        if the socket has too many handlers.
        """
        assert self._events is not None
        require_free_name(name)
        if len(self._registrations) >= self._limit:
            raise InvalidParameters(f"A socket has at most {self._limit} event handlers (socket_handlers).")
        registration = Registration(name, function)
        self._registrations[registration] = session
        self._events.on_loop(self._listen, registration, encoding, pushes)
        return registration

    def sessions(self) -> Iterator[UserSession]:
        """The sessions that handlers were registered under."""
        return iter([session for session in self._registrations.values() if session is not None])

    def end_session(self, key: str) -> None:
        """Remove the handlers that were registered under a session."""
        for registration, session in tuple(self._registrations.items()):
            if session is not None and session.record.key == key:
                self._remove(registration)

    async def close(self) -> None:
        """Remove all handlers."""
        await self._tasks.cancel()
        self._registrations.clear()

    def _remove(self, registration: Registration) -> None:
        assert self._events is not None
        self._registrations.pop(registration, None)
        self._events.remove_handler(registration)

    def _listen(self, registration: Registration, encoding: Format, pushes: bool) -> None:
        assert self._events is not None
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
            self._registrations.pop(registration, None)

    async def _call(self, registration: Registration, args: Any) -> None:
        try:
            outcome = registration.function(args)
            if inspect.isawaitable(outcome):
                await outcome
        except BufferError:
            self._warn(registration.name)
        except Exception:
            logger.exception("the handler of the event %r failed", registration.name)

    def _warn(self, name: str) -> None:
        """Log once that the client reads too slowly."""
        if not self._warned:
            self._warned = True
            logger.warning("a socket reads too slowly: events such as %r are dropped", name)
