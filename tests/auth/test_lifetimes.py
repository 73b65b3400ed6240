"""How long sessions live, and when they are renewed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from msgspec.structs import replace

import toto_aio.auth.lifetimes
from tests.support.sessions import SOON, Counted, Held, MakeSessions, load, stored
from toto_aio.exceptions import Unavailable
from toto_aio.stores import Store


async def test_a_fresh_session_is_not_written(store: Store, make_sessions: MakeSessions) -> None:
    """Renewal does not cost a write on every request."""
    for options in ({}, {"session_renew": 600}, {"session_ttl": 1e9}, {"session_max_ttl": 60}):
        sessions = make_sessions(**options)
        session = await sessions.create("ada")
        writes = Counted(store, "touch_session")
        for _ in range(3):
            assert (await load(sessions, session.session_id)).expires == session.expires
        assert writes.calls == 0


RENEWALS: list[tuple[str, dict[str, float], float, float | None]] = [
    ("ada", {"session_ttl": 100_000}, 99_500, None),
    ("ada", {"session_ttl": 1000}, 985, 1000),
    ("ada", {"session_ttl": 1000}, 20, 1000),
    ("ada", {"session_ttl": 1000, "session_renew": 100}, 120, None),
    ("ada", {"session_ttl": 1000, "session_renew": 100}, 80, 1000),
    ("ada", {"session_ttl": 1000, "session_renew": 5000}, 980, 1000),
    ("ada", {"session_ttl": 1000, "session_renew": 900, "anon_session_renew": 10}, 500, 1000),
    ("", {"anon_session_ttl": 100_000}, 99_500, None),
    ("", {"anon_session_ttl": 1000}, 985, 1000),
    ("", {"anon_session_ttl": 1000, "session_ttl": 9000}, 20, 1000),
    ("", {"anon_session_ttl": 1000, "anon_session_renew": 100}, 120, None),
    ("", {"anon_session_ttl": 1000, "anon_session_renew": 100, "session_renew": 900}, 500, None),
    ("", {"anon_session_ttl": 1000, "anon_session_renew": 100}, 80, 1000),
]
"""The user, the options, the seconds that are left, and the new lifetime, or None without a renewal."""


async def test_renewal(store: Store, make_sessions: MakeSessions) -> None:
    """0 renews after a hundredth of the lifetime, else when less is left; anonymous sessions separately."""
    for user_id, options, left, life in RENEWALS:
        sessions = make_sessions(**options)
        session = await sessions.create(user_id)
        before = time.time() + left
        await store.touch_session(session.record.key, before, time.time())
        loaded = await load(sessions, session.session_id)
        record = await stored(store, user_id)
        assert record.expires == loaded.expires
        assert record.version == 1
        if life is None:
            assert loaded.expires == pytest.approx(before, abs=0.001), (options, left)
        else:
            assert 0 <= time.time() + life - loaded.expires < SOON, (options, left)
        await sessions.end(session)


async def test_a_session_ends_at_last(store: Store, make_sessions: MakeSessions) -> None:
    """However often it is used, it ends after ``session_max_ttl``."""
    sessions = make_sessions(session_ttl=1000, session_max_ttl=5000)
    session = await sessions.create("ada")
    now = time.time()
    record = replace(await stored(store), created=now - 4500, expires=now + 10)
    await store.remove_session(record.key)
    await store.add_session(record)
    loaded = await load(sessions, session.session_id)
    assert loaded.expires == pytest.approx(record.created + 5000, abs=0.001)
    assert (await stored(store)).expires == loaded.expires
    writes = Counted(store, "touch_session")
    assert (await load(sessions, session.session_id)).expires == loaded.expires
    assert writes.calls == 0


async def test_no_session_is_made_to_live_longer(make_sessions: MakeSessions) -> None:
    """``session_max_ttl`` counts from the creation, for anonymous sessions too."""
    sessions = make_sessions(session_ttl=1000, anon_session_ttl=1000, session_max_ttl=100)
    for user_id in ("ada", ""):
        session = await sessions.create(user_id)
        assert 0 <= time.time() + 100 - session.expires < SOON


async def test_a_shorter_life_is_not_applied_backwards(store: Store, make_sessions: MakeSessions) -> None:
    """A session that was created with a longer lifetime keeps it."""
    session = await make_sessions(session_ttl=5000).create("ada")
    loaded = await load(make_sessions(session_ttl=1000), session.session_id)
    assert loaded.expires == (await stored(store)).expires == session.expires


async def test_a_renewal_revives_nothing(store: Store, make_sessions: MakeSessions) -> None:
    """A session that ends while it is being renewed stays ended."""
    sessions = make_sessions(session_ttl=1000)
    session = await sessions.create("ada")
    await store.touch_session(session.record.key, time.time() + 10, time.time())
    renewal = Held(store, "touch_session")
    loading = asyncio.create_task(sessions.load(session.session_id))
    await renewal.reached.wait()
    await sessions.end(session)
    renewal.go.set()
    assert await loading is None
    assert await store.list_sessions("ada") == []


async def test_a_renewal_that_cannot_be_written(
    store: Store,
    make_sessions: MakeSessions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The session is used as it is, the database is spared for a while, and a later request renews it."""
    sessions = make_sessions(session_ttl=1000)
    session = await sessions.create("ada")
    end = time.time() + 900
    await store.touch_session(session.record.key, end, time.time())
    touch = store.touch_session

    async def refuse(*args: Any) -> bool:
        raise Unavailable from OSError("OOM command not allowed")

    monkeypatch.setattr(store, "touch_session", refuse)
    tried = Counted(store, "touch_session")
    for _ in range(2):
        loaded = await load(sessions, session.session_id)
        assert loaded.expires == pytest.approx(end)
        assert not loaded.renewed
    assert tried.calls == 1
    assert "sessions cannot be renewed, and are used as they are: OSError('OOM" in caplog.text
    monkeypatch.setattr(toto_aio.auth.lifetimes, "PAUSE", 0)
    sessions = make_sessions(session_ttl=1000)
    assert (await load(sessions, session.session_id)).renewed is False
    monkeypatch.setattr(store, "touch_session", touch)
    loaded = await load(sessions, session.session_id)
    assert loaded.renewed
    assert loaded.expires == (await stored(store)).expires > end


async def test_a_save_does_not_undo_a_renewal(store: Store, make_sessions: MakeSessions) -> None:
    """A long request saves after another has renewed the session: the session stays valid."""
    sessions = make_sessions(session_ttl=1000)
    session = await sessions.create("ada")
    await store.touch_session(session.record.key, time.time() + 995, time.time())
    long = await load(sessions, session.session_id)
    renewed = time.time() + 1000
    await store.touch_session(session.record.key, renewed, time.time())
    long["a"] = 1
    await long.save()
    assert (await stored(store)).expires == pytest.approx(renewed, abs=0.001)
