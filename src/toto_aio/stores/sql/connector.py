"""What a driver does with the connections to a database server."""

from __future__ import annotations

import select
from enum import Enum
from typing import Any, Protocol, TypeVar

C = TypeVar("C")


class Failure(Enum):
    """What the error of a driver means."""

    DUPLICATE_KEY = "the row already exists"
    ROLLED_BACK = "the server undid the statement, as it conflicted with another"
    REFUSED = "the server answered that it cannot run the statement"
    CONNECTION_LOST = "the connection cannot be used any more"


class Connector(Protocol[C]):
    """Opens, checks and closes connections, and knows the driver's errors."""

    async def connect(self) -> C:
        """Open a connection."""

    def is_alive(self, connection: C) -> bool:
        """Whether the server still holds its end, without asking it."""

    def classify(self, error: Exception) -> Failure | None:
        """Return what an error means, or None if it does not come from the database."""

    async def close(self, connection: C) -> None:
        """Close a connection, and end what the server may still be doing for it."""

    def abort(self, connection: C) -> None:
        """Close a connection immediately, whatever its state, even if it is already closed."""


def has_hung_up(transport: Any) -> bool:
    """Whether the other end has closed a connection, even if the event loop has not noticed yet."""
    if transport is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))
