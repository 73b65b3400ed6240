"""One channel that somebody here has subscribed to: every publication once, in order, or a loss."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from toto_aio.brokers.streams import Stretch
from toto_aio.channels import Channel, Position
from toto_aio.events.channel_counts import ChannelCounts
from toto_aio.events.deliveries import Delivery, Join, Leave
from toto_aio.events.packing import unpack_publication
from toto_aio.members import Member

logger = logging.getLogger(__name__)

MAX_HELD = 10_000
"""Publications that wait while those before them are looked for; with more, they are looked for again."""
MIN_SILENCE, MAX_SILENCE = 10.0, 25.0
"""Seconds after which a silent channel is read: the loss of the last message leaves no gap."""
SPREAD, LOSSES_PER_SECOND = 5.0, 200
"""Losses of more subscribers than so many a second are told one after the other, for so long at most."""

Message = tuple[Position | None, bytes]


class Publication(Delivery):
    """What was published, and its position if the channel has a history. Each reader decodes its own copy."""

    __slots__ = ("_packed", "position")

    def __init__(self, name: str, position: Position | None, packed: msgspec.Raw) -> None:
        super().__init__(name)
        self.position = position
        self._packed = packed

    def data(self) -> Any:
        """A new copy of the data."""
        return msgspec.msgpack.decode(self._packed)


Given = Publication | Join | Leave
"""What a subscriber is given."""


class Subscribed(NamedTuple):
    """How a subscription begins: where, whether that is where it was left, and what was missed since."""

    position: Position | None
    recovered: bool
    publications: Sequence[Publication]


class ChannelSubscription:
    """One subscriber of a channel: ``deliver`` gets each publication, and nothing after ``lost`` was called.

    That is called if publications may have been missed: whoever wants to go on subscribes again, with the
    last position. ``member`` is how the subscriber is seen in a channel with ``presence``; with
    ``join_leave`` it is given each ``Join`` and ``Leave``, too.
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[Given], None],
        lost: Callable[[], None],
        member: Member | None = None,
    ) -> None:
        self.name = name
        self.member = member
        self.is_present = False
        """Whether it has entered, and not left."""
        self._deliver = deliver
        self._tell_lost = lost
        self._after: Position | None = None
        self._caught: list[Given] | None = []
        self.is_closed = False
        """Whether nothing is delivered any more."""
        self._is_lost = False

    def start_after(self, position: Position | None) -> None:
        """Pass over what was published up to a position."""
        self._after = position

    def begin(self) -> None:
        """Deliver, from now on; what was published in the meantime first."""
        caught, self._caught = self._caught or [], None
        for given in caught:
            self.put(given)
        if self._is_lost:
            self._tell()

    def put(self, given: Given) -> None:
        """Take what is delivered."""
        position, after = given.position, self._after
        if (
            after is not None
            and position is not None
            and position.epoch == after.epoch
            and position.offset <= after.offset
        ):
            return
        if self.is_closed:
            return
        if self._caught is None:
            self._deliver(given)
        elif len(self._caught) < MAX_HELD:
            self._caught.append(given)
        else:
            self._is_lost = True

    def close(self) -> None:
        """Deliver and tell nothing any more."""
        self.is_closed = True

    def lose(self, delay: float) -> None:
        """Tell of a loss, so many seconds later."""
        self._is_lost = True
        if self._caught is None:
            asyncio.get_running_loop().call_later(delay, self._tell)

    def _tell(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._tell_lost()


class Followed:
    """The state of a channel in this process. ``fill`` is called when publications have to be looked for."""

    def __init__(
        self, name: str, rules: Channel, fill: Callable[[Followed], None], counts: ChannelCounts
    ) -> None:
        self.name = name
        self.rules = rules
        self._counts = counts
        self.position: Position | None = None
        """That of the last publication which was delivered here."""
        self.subscriptions: dict[ChannelSubscription, None] = {}
        self._fill = fill
        self._held: list[Message] | None = []
        self._held_all = True
        self._loop = asyncio.get_running_loop()
        self.due = 0.0
        """When the position is read if nothing arrives before, on the clock of the loop."""
        self.put_off()

    @property
    def is_filling(self) -> bool:
        """Whether publications wait until those before them are found."""
        return self._held is not None

    def put_off(self) -> None:
        """Read the position later: something was heard."""
        self.due = self._loop.time() + random.uniform(MIN_SILENCE, MAX_SILENCE)  # noqa: S311  # not a secret

    def begin(self, position: Position | None) -> None:
        """Deliver what is published after a position."""
        self.position = position
        self._release()

    def hear(self, position: Position | None, payload: bytes) -> None:
        """Take a message of the broker."""
        if self._held is not None:
            if len(self._held) < MAX_HELD:
                self._held.append((position, payload))
            else:
                self._held_all = False
            return
        if position is None or self.position is None:
            self._pass_on(None if self.position is None else position, payload)
        elif position.epoch == self.position.epoch and position.offset <= self.position.offset:
            return
        elif position.epoch == self.position.epoch and position.offset == self.position.offset + 1:
            self.position = position
            self.put_off()
            self._pass_on(position, payload)
        else:
            self.look()

    def look(self) -> None:
        """Look for what was published after the position; the message that has shown it is found with it."""
        if self._held is None:
            self._held = []
            self._fill(self)

    def filled(self, stretch: Stretch) -> None:
        """Go on with what was found."""
        if stretch.payloads is None:
            self.lose()
        else:
            assert self.position is not None
            for number, payload in enumerate(stretch.payloads, self.position.offset + 1):
                self._pass_on(Position(self.position.epoch, number), payload)
            self._counts.filled += len(stretch.payloads)
        self.position = stretch.position
        self.put_off()
        self._release()

    def lose(self) -> None:
        """End all subscriptions, and tell them."""
        lost, self.subscriptions = self.subscriptions, {}
        self._counts.lost += len(lost)
        spread = min(SPREAD, len(lost) / LOSSES_PER_SECOND)
        for subscription in lost:
            subscription.lose(random.uniform(0, spread))  # noqa: S311  # not a secret

    def _release(self) -> None:
        held, self._held = self._held or [], None
        held_all, self._held_all = self._held_all, True
        for position, payload in held:
            self.hear(position, payload)
        if not held_all:
            self.look() if self.rules.history else self.lose()

    def _pass_on(self, position: Position | None, payload: bytes) -> None:
        packed = unpack_publication(payload)
        if packed is None:
            return
        self._counts.delivered += len(self.subscriptions)
        self.deliver(Publication(self.name, position, packed))

    def deliver(self, given: Given) -> None:
        """Give something to all subscribers."""
        for subscription in tuple(self.subscriptions):
            try:
                subscription.put(given)
            except Exception:
                logger.exception("a publication of %r could not be delivered", self.name)
