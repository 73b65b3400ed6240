"""The event handlers of a socket: called as fast as its client reads."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from toto_aio.events.manager import EventManager, Registration
from toto_aio.events.subscription import Arrival
from toto_aio.tasks import Tasks
from toto_aio.websocket.frames import Format
from toto_aio.websocket.sender import FrameSender

logger = logging.getLogger(__name__)


class SocketEvents:
    """The handlers that the calls of one socket have registered; they last until the socket closes."""

    def __init__(self, events: EventManager | None, sender: FrameSender) -> None:
        self._events = events
        self._sender = sender
        self._tasks = Tasks()

    def listen(
        self, name: str, function: Callable[[Any], Any], encoding: Format, *, pushes: bool
    ) -> Registration:
        """Call ``function`` with each event until the socket closes.

        ``pushes``: all that the function does is send the event in this format.
        """
        assert self._events is not None
        registration = Registration(name, function)
        self._events.on_loop(self._listen, registration, encoding, pushes)
        return registration

    async def close(self) -> None:
        """Stop calling the handlers."""
        await self._tasks.cancel()

    def _listen(self, registration: Registration, encoding: Format, pushes: bool) -> None:
        assert self._events is not None
        name = registration.name

        def lagged(count: int) -> None:
            self._sender.add(encoding.frame({"lagged": {"event": name, "count": count}}))

        push = partial(self._push, encoding.frame) if pushes else None
        registration.subscription = self._events.subscribe(name, on_lagged=lagged, take=push)
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
        assert registration.subscription is not None
        async with registration.subscription as events:
            async for args in events:
                try:
                    outcome = registration.function(args)
                    if inspect.isawaitable(outcome):
                        await outcome
                except Exception:
                    logger.exception("the handler of the event %r failed", registration.name)
                await self._sender.room()
