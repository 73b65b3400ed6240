"""Subscribers that keep books: with the client of toto_aio, and with an unmodified ``centrifuge-python``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import centrifuge
from torture.drill import Failure
from torture.ledger import Reading
from toto_aio.channels import Position
from toto_aio.client import Client, ClientSubscription, Publication
from toto_aio.exceptions import Unavailable

MAX_DELAY = 2.0
"""Seconds between two attempts of ``centrifuge-python`` to connect, at most."""


class Subscriber:
    """A subscriber with toto_aio's client. ``opened`` is set when the subscription has begun."""

    def __init__(self, reading: Reading) -> None:
        self.opened = asyncio.Event()
        self._reading = reading

    async def read(self, port: int) -> None:
        """Read the channel from the service at a port until cancelled."""
        while not self.opened.is_set():
            with suppress(Unavailable):  # everybody begins at the same time, which may be too much
                await self._read(port)

    async def _read(self, port: int) -> None:
        reading = self._reading
        async with (
            Client(f"http://127.0.0.1:{port}") as client,
            client.subscribe(
                reading.ledger.name, on_missed=lambda: reading.begin(place(messages))
            ) as messages,
        ):
            reading.begin(place(messages))
            self.opened.set()
            async for message in messages:
                reading.take(place(message), message.data)


class CentrifugeSubscriber(centrifuge.SubscriptionEventHandler):
    """The same with ``centrifuge-python``."""

    def __init__(self, reading: Reading) -> None:
        self.opened = asyncio.Event()
        self._reading = reading
        self._epoch = ""

    async def read(self, port: int) -> None:
        """Read the channel from the service at a port until cancelled."""
        client = centrifuge.Client(
            f"ws://127.0.0.1:{port}/connection/websocket", max_reconnect_delay=MAX_DELAY
        )
        subscription = client.new_subscription(
            self._reading.ledger.name,
            events=self,
            recoverable=True,
            positioned=True,
            max_resubscribe_delay=MAX_DELAY,
        )
        try:
            await client.connect()
            await subscription.subscribe()
            await asyncio.Event().wait()
        finally:
            await client.disconnect()

    async def on_subscribed(self, context: Any) -> None:
        """The subscription begins, or begins elsewhere; if it has recovered, it goes on in its epoch."""
        if not context.recovered:
            self._epoch = context.stream_position.epoch
            self._reading.begin(Position(self._epoch, context.stream_position.offset))
        self.opened.set()

    async def on_publication(self, context: Any) -> None:
        """A message has come."""
        self._reading.take(Position(self._epoch, context.pub.offset), context.pub.data)


class Forgets(ClientSubscription):
    """A subscription of toto_aio's client that goes on wherever the channel is, and doesn't tell."""

    def _begin(self, result: Any) -> None:
        super()._begin({**result, "publications": [], "recovered": True})


KINDS = (Subscriber, CentrifugeSubscriber)


def place(of: Publication | ClientSubscription) -> Position:
    """The position of a message, or of a subscription."""
    if of.position is None:
        raise Failure("a channel with a history has no position")
    return of.position
