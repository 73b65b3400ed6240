"""The sweep: what has expired, and a database does not drop by itself, is dropped periodically."""

from __future__ import annotations

import asyncio
import logging

from toto_aio.clock import Clock
from toto_aio.exceptions import Unavailable, described
from toto_aio.stores import SessionStore

logger = logging.getLogger(__name__)

SWEEP_INTERVAL = 60.0
"""Seconds between two sweeps of expired sessions."""
SWEEP_REST = 900.0
"""Seconds without a sweep after the clock was set forward, maybe by mistake; a nonce is kept less long."""
SWEEP_PAUSE = 0.05
"""Seconds between two portions of a sweep, which belong to other work."""


async def sweep(store: SessionStore, clock: Clock) -> None:
    """Drop expired sessions periodically, in one of the processes that share the store."""
    while True:
        try:
            if not clock.was_set_forward(SWEEP_REST) and await store.add_once("sweep", SWEEP_INTERVAL / 2):
                dropped = 1
                while dropped and not clock.was_set_forward(SWEEP_REST):
                    dropped = await store.sweep()
                    await asyncio.sleep(SWEEP_PAUSE)
        except Unavailable as exc:
            logger.warning("expired sessions could not be dropped: %s", described(exc.__cause__ or exc))
        except Exception:
            logger.exception("expired sessions could not be dropped; trying again in %d s", SWEEP_INTERVAL)
        await asyncio.sleep(SWEEP_INTERVAL)
