"""What the calls of an app share while it runs."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toto_aio.auth.accounts import Accounts
from toto_aio.auth.api_keys import ApiKeys
from toto_aio.auth.second_factor import SecondFactor
from toto_aio.auth.sessions import Sessions
from toto_aio.dispatch.deadlines import Deadlines
from toto_aio.events.manager import EventManager
from toto_aio.settings.durations import MAX_SECONDS
from toto_aio.stores.transactions import Transaction, Transactions
from toto_aio.threads import Threads

if TYPE_CHECKING:
    from toto_aio.dispatch.coded_mail import CodedMail
    from toto_aio.dispatch.idempotency import Keys


@dataclass(frozen=True, slots=True)
class Connection:
    """``handler.connection``: the database driver's own client or pool, the accounts and the sessions.

    ``settings`` are the author's own, of ``app``: ``handler.settings`` in a method, and for
    ``startup_function`` here.
    """

    db: Any
    accounts: Accounts
    sessions: Sessions
    settings: Mapping[str, Any]
    transactions: Transactions
    api_keys: ApiKeys
    second_factor: SecondFactor
    coded_mail: CodedMail | None = None
    """What the methods with codes share; None without ``mail``."""

    def transaction(self) -> Transaction:
        """``async with connection.transaction() as own:`` as ``handler.transaction``, outside of calls."""
        return Transaction(self.transactions)

    async def once(self, name: str, seconds: float) -> bool:
        """Whether this process is the only one of the deployment to be told so within the seconds.

        It is counted where the sessions are. Raises ``Unavailable``, and ``ValueError`` for a time that no
        database keeps.
        """
        if not 0 < seconds <= MAX_SECONDS:
            raise ValueError(f"seconds: write more than 0 and at most {MAX_SECONDS:.0f}, not {seconds!r}")
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
        return await self.sessions.store.add_once(f"once:{digest}", seconds)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the lifespan of an app has opened for its calls. ``events`` is None if events are off."""

    connection: Connection
    events: EventManager | None
    threads: Threads
    deadlines: Deadlines
    keys: Keys | None = None
    """The idempotency keys, if a method has any."""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    loop_thread: int = field(default_factory=threading.get_ident)

    def needed_events(self) -> EventManager:
        """The events. Raises ``RuntimeError`` if they are off."""
        if self.events is None:
            raise RuntimeError("Events are off: start the service with events=memory://")
        return self.events
