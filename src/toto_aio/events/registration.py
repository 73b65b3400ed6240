"""A handler of an event, as it is registered, and how it is called."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from toto_aio.awaiting import dropped, log_dropped
from toto_aio.events.subscription import Arrival, Subscription

logger = logging.getLogger(__name__)


class Registration:
    """A handler of an event, as ``register_handler`` returns it."""

    __slots__ = ("function", "name", "subscription")

    def __init__(self, name: str, function: Callable[[Any], Any]) -> None:
        self.name = name
        self.function = function
        self.subscription: Subscription | None = None


async def consume(subscription: Subscription, function: Callable[[Any], Any]) -> None:
    """Call a function with each event of a subscription, one after the other."""
    async for args in subscription:
        await _call(function, args, subscription.name)


async def call_once(function: Callable[[Any], Any], arrival: Arrival, name: str) -> None:
    """Call a function with one event, which this process has handled then."""
    await _call(function, arrival.args(), name)
    if arrival.taken is not None:
        arrival.taken.release()


async def _call(function: Callable[[Any], Any], args: Any, name: str) -> None:
    try:
        outcome = function(args)
        if inspect.isawaitable(outcome):
            await outcome
        if dropped:
            log_dropped()
    except Exception:
        logger.exception("the handler of the event %r failed", name)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        logger.exception("the handler of the event %r awaited what was cancelled", name)
