"""Time limits in tests. No test asserts a duration, because everything takes longer on a busy machine.

To show that a limit ends a wait, a test makes that limit short, while all others are longer than the test may
take. The test then either passes long before the watchdog, or hangs and fails. The drills in torture/ measure
how soon a limit ends a wait.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from toto_aio.auth import passwords
from toto_aio.auth.passwords import COST
from toto_aio.stores import STORES

WATCHDOG = 20.0
"""Seconds after which a test that still waits has failed. What it waits for takes a fraction of a second."""
PATIENCE = 60.0
"""Seconds of a limit that no test reaches, however busy the machine: more than ``WATCHDOG``."""

DEFAULTS: dict[str, dict[str, float]] = {
    "toto_aio.auth.session_saves": {"SAVE_LIMIT": 5.0},
    "toto_aio.auth.tally": {"PATIENCE": 5.0},
    "toto_aio.redis_connection": {"CONNECT_LIMIT": 2.0, "OPERATION_LIMIT": 5.0},
    "toto_aio.redis_cluster": {"MAP_LIMIT": 0.5},
    "toto_aio.redis_target": {"SENTINEL_LIMIT": 0.5},
    "toto_aio.brokers.redis": {"PUBLISH_LIMIT": 5.0},
    "toto_aio.brokers.redis_listener": {"ECHO_LIMIT": 5.0},
    "toto_aio.stores.mongodb": {"CONNECT_LIMIT": 2.0, "POOL_LIMIT": 1.0},
    "toto_aio.stores.mongodb_operations": {"OPERATION_LIMIT": 5.0},
    "toto_aio.stores.sql.operations": {"OPERATION_LIMIT": 5.0},
    "toto_aio.stores.sql.pool": {"CONNECT_LIMIT": 2.0, "POOL_LIMIT": 1.0},
    "toto_aio.stores.sqlite_busy": {"BUSY_TIMEOUT": 5.0},
    "toto_aio.stores.transactions": {"BEGIN_LIMIT": 5.0, "COMMIT_LIMIT": 5.0, "ROLLBACK_LIMIT": 1.0},
}
"""The limits, by module, that are longer in tests than in a service, with the values of a service."""


@contextmanager
def limits(module: Any, **values: Any) -> Iterator[None]:
    """Set limits or other constants of a module for a block: ``with limits(pool, POOL_LIMIT=0.3):``"""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setattr(module, name, value)
        yield


@contextmanager
def patience() -> Iterator[dict[str, dict[str, float]]]:
    """Set all ``DEFAULTS`` to ``PATIENCE`` for a block, and provide the values that they had before."""
    with ExitStack() as stack:
        found = {}
        for name, values in DEFAULTS.items():
            module = importlib.import_module(name)
            found[name] = {limit: getattr(module, limit) for limit in values}
            stack.enter_context(limits(module, **dict.fromkeys(values, PATIENCE)))
        yield found


@contextmanager
def publish_limit(seconds: float) -> Iterator[None]:
    """Let what is sent through a Redis broker have so many seconds, for a block."""
    from toto_aio import redis_connection
    from toto_aio.brokers import redis

    with limits(redis, PUBLISH_LIMIT=seconds), limits(redis_connection, OPERATION_LIMIT=seconds):
        yield


def cheap_passwords() -> AbstractContextManager[None]:
    """Let the hashes of a service cost almost nothing for a block."""
    return limits(passwords, COST=replace(COST, time_cost=1, memory_cost=8))


def real_passwords() -> AbstractContextManager[None]:
    """Let them cost what they cost outside the tests."""
    return limits(passwords, COST=COST)


def patience_of_a_process(url: str) -> str:
    """Python code that does the same in another process, one that uses the store at ``url``."""
    return f"""
import importlib, sys
importlib.import_module({STORES[url.partition("://")[0]].partition(":")[0]!r})
for name, limits in {DEFAULTS!r}.items():
    for limit in limits if name in sys.modules else ():
        setattr(sys.modules[name], limit, {PATIENCE})
"""
