"""What a service is made of, where something else may stand in its place: parts that count what they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toto_aio.auth.sessions import Sessions
from toto_aio.dispatch.dispatcher import Dispatcher
from toto_aio.events.manager import EventManager
from toto_aio.stores import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """What makes the parts of an app; each is called as the class that it stands for."""

    store: Callable[[Store, str], Store] = lambda store, name: store
    """With each store that was opened, and its name."""
    sessions: Callable[..., Sessions] = Sessions
    events: Callable[..., EventManager] = EventManager
    dispatcher: Callable[..., Dispatcher] = Dispatcher
