"""What the calls of an app share while it runs."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

from toto_aio.auth.accounts import Accounts
from toto_aio.auth.sessions import Sessions
from toto_aio.dispatch.deadlines import Deadlines
from toto_aio.events.manager import EventManager
from toto_aio.threads import Threads


@dataclass(frozen=True, slots=True)
class Connection:
    """``handler.connection``: the database driver's own client or pool, the accounts and the sessions."""

    db: Any
    accounts: Accounts
    sessions: Sessions


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the lifespan of an app has opened for its calls. ``events`` is None if events are off."""

    connection: Connection
    events: EventManager | None
    threads: Threads
    deadlines: Deadlines
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    loop_thread: int = field(default_factory=threading.get_ident)
