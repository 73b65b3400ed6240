"""What a service knows of the aiohttp application around it, and what it gives that application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web

from toto_aio.dispatch.runtime import Connection, Runtime
from toto_aio.events.manager import EventManager

M = TypeVar("M", bound=Callable[..., Any])

PARENT = web.AppKey("toto_aio_parent", web.Application)
"""The key of a service's app for the application around it, which ``toto_aio.middleware.setup`` sets."""

CONNECTION = web.AppKey("toto_aio_connection", Connection)
"""The key of the application for its service's accounts, sessions and database, once that has started."""

EVENTS = web.AppKey("toto_aio_events", EventManager)
"""The key of the application for the events of its service, once that has started, unless they are off."""

CLOSE: web.AppKey[Callable[[web.Application], Awaitable[None]]] = web.AppKey("toto_aio_close")
"""The key of a service's app for what closes it before aiohttp does.

aiohttp cleans up an application before those in it, so the application's pools would be closed first, while
the service still handles events.
"""

_MARK = "__toto_aio_transparent__"


def share(service: web.Application, runtime: Runtime) -> None:
    """Give the application around a service, if it is known, what its own code may use of the service."""
    parent = service.get(PARENT)
    if parent is not None:
        parent[CONNECTION] = runtime.connection
        if runtime.events is not None:
            parent[EVENTS] = runtime.events


def transparent(middleware: M) -> M:
    """Mark a middleware or signal that leaves requests to a service alone, so that its calls stay fast."""
    setattr(middleware, _MARK, True)
    return middleware


def is_transparent(middleware: Callable[..., Any]) -> bool:
    """Whether a middleware or signal leaves the requests to a service alone."""
    return getattr(middleware, _MARK, False) is True
