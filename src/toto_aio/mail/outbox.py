"""The queue between a call and its mail: the call never waits for a mail, nor learns what becomes of it."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from email.message import EmailMessage

from toto_aio.exceptions import Unavailable, described
from toto_aio.mail.addresses import masked
from toto_aio.mail.senders import MailRefusedError, Sender
from toto_aio.names import shortened
from toto_aio.tasks import Tasks

logger = logging.getLogger(__name__)

MOST = 1000
"""Mails that may wait in a process. The next call that wants to send one is refused."""
AT_ONCE = 4
"""Mails that are being sent at the same time."""
WAITS = (1.0, 5.0, 15.0, 60.0, 120.0, 240.0)
"""Seconds before each further attempt."""
PREPARE_LIMIT = 20.0
"""Seconds in which a mail is prepared: a few operations of a store, of which each has a limit of 5."""
SPREAD = 0.3
"""The most seconds between a mail's preparation and its way, so that no later call shows that it is sent."""

Prepare = Callable[[], Awaitable[EmailMessage | None]]
"""Makes a mail; None if there is nobody to send it to."""


class Outbox:
    """Prepares and sends mails in the background.

    Mails are prepared in the order in which they came, and sent when it is their turn. Either is tried again
    after an error, and neither is begun once the mail is too old to be of use. At most ``most`` wait, so that
    a server that doesn't answer doesn't fill the memory.
    """

    def __init__(self, sender: Sender, *, most: int = MOST, waits: tuple[float, ...] = WAITS) -> None:
        self._sender = sender
        self._most = most
        self._waits = waits
        self._tasks = Tasks()
        self._preparing = asyncio.Lock()
        self._sending = asyncio.Semaphore(AT_ONCE)
        self._closing = asyncio.Event()

    def put(
        self, name: str, prepare: Prepare, lasts: float, on_leaving: Callable[[], None] | None = None
    ) -> None:
        """Prepare and send a mail later, if that is possible within ``lasts`` seconds.

        ``name`` is that of its template; ``on_leaving`` is called once, before the mail is first sent. Raises
        ``Unavailable`` if too many wait.
        """
        if len(self._tasks) >= self._most or self._closing.is_set():
            logger.warning("mail %s refused: %d are waiting", name, len(self._tasks))
            raise Unavailable("Too many mails are waiting: try again in a minute.")
        end = asyncio.get_running_loop().time() + lasts
        delivery = Delivery(name, prepare, on_leaving)
        # In a context of its own: what belongs to the call is not kept until the mail is sent.
        self._tasks.start(self._deliver(delivery, end), f"mail {name}", context=Context())

    async def close(self, limit: float) -> None:
        """Send what waits, within ``limit`` seconds, each once more; what is lost then is logged."""
        self._closing.set()
        await self._tasks.finish(limit)
        if lost := len(self._tasks):
            logger.error("%d mails are lost: the service has ended before they were sent", lost)
            await self._tasks.cancel()

    async def _deliver(self, delivery: Delivery, end: float) -> None:
        for wait in (*self._waits, None):
            last = self._closing.is_set()
            try:
                await self._attempt(delivery, end)
                return
            except TooLateError:
                logger.error("%s lost: it has waited until it was of no use any more", delivery)
                return
            except MailRefusedError as exc:
                logger.error("%s not sent: %s", delivery, exc)
                return
            except Exception as exc:
                reason = shortened(delivery.masked(described(exc)), 200)
                if wait is None or last or asyncio.get_running_loop().time() + wait > end:
                    logger.error("%s lost, after the last attempt: %s", delivery, reason)
                    return
                logger.warning("%s not sent yet, trying again in %g s: %s", delivery, wait, reason)
            await self._pause(wait)

    async def _attempt(self, delivery: Delivery, end: float) -> None:
        if not delivery.is_prepared:
            async with self._preparing, asyncio.timeout(PREPARE_LIMIT):
                _require_time(end)
                await delivery.make()
            if delivery.message is not None:
                await self._pause(random.uniform(0, SPREAD))  # noqa: S311  # no secret
        if delivery.message is not None:
            async with self._sending:
                _require_time(end)
                delivery.leave()
                await self._sender.send(delivery.message)
            logger.info("%s sent", delivery)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the service is about to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()


class TooLateError(Exception):
    """The turn of a mail has come when it is of no use any more."""


def _require_time(end: float) -> None:
    if asyncio.get_running_loop().time() > end:
        raise TooLateError


class Delivery:
    """A mail on its way. As text it is what the log may have of it."""

    def __init__(self, name: str, prepare: Prepare, on_leaving: Callable[[], None] | None) -> None:
        self.name = name
        self.message: EmailMessage | None = None
        self.is_prepared = False
        self._prepare = prepare
        self._on_leaving = on_leaving

    def __str__(self) -> str:
        if self.message is None:
            return f"mail {self.name}"
        return f"mail {self.name} to {masked(str(self.message['To']))} {self.message['Message-ID']}"

    def masked(self, text: str) -> str:
        """A text about the mail as the log may have it: without the address."""
        if self.message is None:
            return text
        address = str(self.message["To"])
        return re.sub(re.escape(address), lambda _: masked(address), text, flags=re.IGNORECASE)

    async def make(self) -> None:
        """Prepare the mail."""
        self.message = await self._prepare()
        self.is_prepared = True

    def leave(self) -> None:
        """Note that the mail is about to be sent; that counts once."""
        on_leaving, self._on_leaving = self._on_leaving, None
        if on_leaving is not None:
            on_leaving()
