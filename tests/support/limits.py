"""Limits in time, in tests: no test asserts a duration, because on a busy machine everything takes longer.

A limit of ours is shown to end a wait by making it short, while everything else that could end the wait is
patient. Then the test either ends long before the watchdog, or hangs and fails. How soon a limit ends a wait
is measured by the drills in torture/.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from toto_aio.stores import STORES

WATCHDOG = 20.0
"""Seconds after which a test that waits has failed. What it waits for takes a moment."""
PATIENCE = 60.0
"""Seconds of a limit that no test reaches, busy as the machine may be. More than the watchdog has."""

DEFAULTS: dict[str, dict[str, float]] = {
    "toto_aio.auth.sessions": {"SAVE_LIMIT": 5.0},
    "toto_aio.redis_connection": {"CONNECT_LIMIT": 2.0, "OPERATION_LIMIT": 5.0},
    "toto_aio.brokers.redis": {"PUBLISH_LIMIT": 5.0},
    "toto_aio.stores.mongodb": {"CONNECT_LIMIT": 2.0, "OPERATION_LIMIT": 5.0, "POOL_LIMIT": 1.0},
    "toto_aio.stores.sql.operations": {"OPERATION_LIMIT": 5.0},
    "toto_aio.stores.sql.pool": {"CONNECT_LIMIT": 2.0, "POOL_LIMIT": 1.0},
    "toto_aio.stores.sqlite": {"BUSY_TIMEOUT": 5.0},
}
"""The limits of what a test needs and does not test, with the values that a service has."""


@contextmanager
def limits(module: Any, **seconds: float) -> Iterator[None]:
    """Other limits of a module, while the block lasts: ``with limits(pool, OPERATION_LIMIT=0.3):``"""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in seconds.items():
            patch.setattr(module, name, value)
        yield


@contextmanager
def patience() -> Iterator[dict[str, dict[str, float]]]:
    """Limits that no busy machine reaches; what they were before."""
    with ExitStack() as stack:
        found = {}
        for name, values in DEFAULTS.items():
            module = importlib.import_module(name)
            found[name] = {limit: getattr(module, limit) for limit in values}
            stack.enter_context(limits(module, **dict.fromkeys(values, PATIENCE)))
        yield found


def patience_of_a_process(url: str) -> str:
    """The Python code by which another process, which uses the store at ``url``, gets the same limits."""
    return f"""
import importlib, sys
importlib.import_module({STORES[url.partition("://")[0]].partition(":")[0]!r})
for name, limits in {DEFAULTS!r}.items():
    for limit in limits if name in sys.modules else ():
        setattr(sys.modules[name], limit, {PATIENCE})
"""
