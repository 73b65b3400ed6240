"""What a service knows of the aiohttp application around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp import web

M = TypeVar("M", bound=Callable[..., Any])

PARENT = web.AppKey("toto_aio_parent", web.Application)
"""The key of a service's app for the application around it, which ``toto_aio.middleware.setup`` sets."""

_MARK = "__toto_aio_transparent__"


def transparent(middleware: M) -> M:
    """Mark a middleware that leaves the requests to a service alone, so that its calls stay fast."""
    setattr(middleware, _MARK, True)
    return middleware


def is_transparent(middleware: Callable[..., Any]) -> bool:
    """Whether a middleware leaves the requests to a service alone."""
    return getattr(middleware, _MARK, False) is True
