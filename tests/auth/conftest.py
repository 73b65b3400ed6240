"""Sessions in a store of every kind."""

from __future__ import annotations

from collections.abc import Iterator

import argon2
import pytest

from tests.support.sessions import MakeSessions
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.sessions import Sessions
from toto_aio.settings import Settings
from toto_aio.stores import Store


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """Hashes that are cheap to compute."""
    passwords = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield passwords
    passwords.close()


@pytest.fixture
def make_sessions(store: Store, passwords: Passwords) -> MakeSessions:
    """The sessions in the store under the given settings: ``make_sessions(session_ttl=10)``."""
    return lambda **options: Sessions(store, Accounts(store, passwords), Settings(**options))


@pytest.fixture
def sessions(make_sessions: MakeSessions) -> Sessions:
    """The sessions in the store under the default settings."""
    return make_sessions()
