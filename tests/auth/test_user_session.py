"""A session as a method sees it: changes that keep what others wrote, and what cannot be saved."""

from __future__ import annotations

import asyncio
import enum
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock_time
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from tests.support.service import shown
from tests.support.sessions import SOON, Held, MakeSessions, load, state_of, stored
from toto_aio.auth.session_state import MAX_SIZE
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.codecs.msgpack_codec import EXACT
from toto_aio.exceptions import InvalidSessionID
from toto_aio.stores import Store


async def test_dictionary_access(sessions: Sessions) -> None:
    """A session reads like its state, and a missing key as None."""
    session = await sessions.create("ada")
    session["a"], session["b"] = 1, None
    assert (session["a"], session["b"], session["missing"]) == (1, None, None)
    assert (session.get("a"), session.get("missing"), session.get("missing", 5), session.get("b", 5)) == (
        1,
        None,
        5,
        None,
    )
    assert "a" in session
    assert "missing" not in session
    assert sorted(session) == ["a", "b"]
    assert session.state == {"a": 1, "b": None}
    del session["a"]
    assert session.state == {"b": None}


async def test_whose_session_it_is_can_only_be_read(sessions: Sessions) -> None:
    """A method cannot become another user, or extend the lifetime, by an assignment."""
    session: Any = await sessions.create("ada")
    for name in ("user_id", "expires", "state"):
        with pytest.raises(AttributeError):
            setattr(session, name, "eve")


async def test_changes_stay_here_until_they_are_saved(sessions: Sessions) -> None:
    """Another request sees them after ``save``, and after ``save_state``, which is the same."""
    session = await sessions.create("ada")
    session["a"] = 1
    assert await state_of(sessions, session) == {}
    await session.save()
    assert await state_of(sessions, session) == {"a": 1}
    session.state["b"] = 2
    await session.save_state()
    assert await state_of(sessions, session) == {"a": 1, "b": 2}


STATE: dict[str, Any] = {
    "text": "grüße 🦊 \x00 \n",
    "bytes": bytes(range(256)),
    "large": 2**63 - 1,
    "small": -(2**63),
    "real": 0.1,
    "whole": 2.0,
    "true": True,
    "none": None,
    "list": [1, [2, {"a": [b"x"]}]],
    "dict": {"dotted.name": {"$gt": ""}, "": 1},
    "": "no name",
    "$set": "name",
    "a.b": "name",
}


async def test_state_of_every_plain_kind(sessions: Sessions) -> None:
    """It comes back unchanged, each value with its own type."""
    session = await sessions.create("ada")
    session.state.update(STATE)
    await session.save()
    state = await state_of(sessions, session)
    assert state == STATE
    assert [type(state[name]) for name in STATE] == [type(value) for value in STATE.values()]


async def test_a_save_writes_changed_keys_alone(sessions: Sessions) -> None:
    """What another request wrote to other keys is kept, and visible here after the save."""
    session = await sessions.create("ada")
    session.state.update({"mine": 0, "theirs": 0, "removed": 0})
    await session.save()
    one, two = await load(sessions, session.session_id), await load(sessions, session.session_id)
    assert two["theirs"] == 0  # reading them is not a change
    one["theirs"], one["new"] = 1, 1
    del one["removed"]
    await one.save()
    two["mine"] = 2
    await two.save()
    assert two.state == {"mine": 2, "theirs": 1, "new": 1}
    assert await state_of(sessions, session) == {"mine": 2, "theirs": 1, "new": 1}


async def test_saves_at_once_keep_each_other(sessions: Sessions) -> None:
    """Ten requests save one key each at the same time, and all ten keys are stored."""
    session = await sessions.create("ada")
    loaded = [await load(sessions, session.session_id) for _ in range(10)]
    for n, other in enumerate(loaded):
        other[f"k{n}"] = n
    await asyncio.gather(*(other.save() for other in loaded))
    assert await state_of(sessions, session) == {f"k{n}": n for n in range(10)}


async def test_servers_that_save_at_once_keep_each_other(make_sessions: MakeSessions) -> None:
    """The same holds for ten servers, which do not know of each other."""
    session = await make_sessions().create("ada")
    loaded = [await load(make_sessions(), session.session_id) for _ in range(10)]
    for n, other in enumerate(loaded):
        other[f"k{n}"] = n
    await asyncio.gather(*(other.save() for other in loaded))
    assert await state_of(make_sessions(), session) == {f"k{n}": n for n in range(10)}


async def test_the_last_save_of_a_key_counts(sessions: Sessions) -> None:
    """If two requests set the same key, the later save wins."""
    session = await sessions.create("ada")
    one, two = await load(sessions, session.session_id), await load(sessions, session.session_id)
    one["a"], two["a"] = 1, 2
    await one.save()
    await two.save()
    assert await state_of(sessions, session) == {"a": 2}


async def test_a_deleted_key_is_removed(sessions: Sessions) -> None:
    """It stays removed, even when another request that had read it saves other keys."""
    session = await sessions.create("ada")
    session.state.update({"a": 1, "b": 1})
    await session.save()
    one, two = await load(sessions, session.session_id), await load(sessions, session.session_id)
    assert two["a"] == 1
    del one["a"]
    await one.save()
    two["b"] = 2
    await two.save()
    assert await state_of(sessions, session) == {"b": 2}


async def test_a_nested_change_is_noticed(sessions: Sessions) -> None:
    """Changing a value in place is enough, even to one that Python considers equal."""
    changes: list[tuple[Any, Callable[[Any], None], Any]] = [
        ([1], lambda value: value.append(2), [1, 2]),
        ({"a": {"b": [1]}}, lambda value: value["a"]["b"].clear(), {"a": {"b": []}}),
        ({"a": 1}, lambda value: value.update(a=True), {"a": True}),
        ({"a": 1}, lambda value: value.update(a=1.0), {"a": 1.0}),
        ([0.0], lambda value: value.__setitem__(0, -0.0), [-0.0]),
    ]
    for before, change, after in changes:
        session = await sessions.create("ada")
        session["value"] = before
        await session.save()
        loaded = await load(sessions, session.session_id)
        change(loaded["value"])
        await loaded.save()
        assert repr((await state_of(sessions, session))["value"]) == repr(after)


async def test_a_saved_value_can_be_changed_again(sessions: Sessions) -> None:
    """After a save, the value passed in belongs to the session and is not linked to what was saved."""
    session = await sessions.create("ada")
    session["list"] = [1]
    await session.save()
    session["list"].append(2)
    assert await state_of(sessions, session) == {"list": [1]}
    await session.save()
    assert await state_of(sessions, session) == {"list": [1, 2]}


async def test_changes_during_a_save_are_not_lost(store: Store, sessions: Sessions) -> None:
    """Anything set, deleted or changed in place while a save is in progress is written by the next one."""
    session = await sessions.create("ada")
    session.state.update({"a": 1, "gone": 1, "list": [1]})
    writing = Held(store, "save_session")
    save = asyncio.create_task(session.save())
    await writing.reached.wait()
    session["b"] = 2
    session["list"].append(2)
    del session["gone"]
    writing.go.set()
    await save
    assert session.state == {"a": 1, "b": 2, "list": [1, 2]}
    assert await state_of(sessions, session) == {"a": 1, "gone": 1, "list": [1]}
    await session.save()
    assert await state_of(sessions, session) == {"a": 1, "b": 2, "list": [1, 2]}


async def test_saves_of_one_request_at_once(sessions: Sessions) -> None:
    """Tasks of one request may save the session that they share."""
    session = await sessions.create("ada")

    async def work(n: int) -> None:
        session[f"k{n}"] = n
        await session.save()

    await asyncio.gather(*(work(n) for n in range(10)))
    assert session.state == await state_of(sessions, session) == {f"k{n}": n for n in range(10)}


async def test_a_cancelled_save(store: Store, sessions: Sessions) -> None:
    """A request that is cancelled in its save leaves the session usable, for itself and for others."""
    session = await sessions.create("ada")
    session["a"] = 1
    writing = Held(store, "save_session")
    save = asyncio.create_task(session.save())
    await writing.reached.wait()
    save.cancel()
    await asyncio.gather(save, return_exceptions=True)
    other = await load(sessions, session.session_id)
    other["b"] = 2
    await asyncio.wait_for(other.save(), SOON)
    await asyncio.wait_for(session.save(), SOON)
    assert await state_of(sessions, session) == {"a": 1, "b": 2}


# Update and refresh


async def test_a_hundred_updates_at_once(sessions: Sessions) -> None:
    """Each is atomic: no two see the same number."""
    session = await sessions.create("ada")
    loaded = [await load(sessions, session.session_id) for _ in range(100)]

    def add(state: dict[str, Any]) -> int:
        state["n"] = state.get("n", 0) + 1
        return int(state["n"])

    seen = await asyncio.gather(*(other.update(add) for other in loaded))
    assert sorted(seen) == list(range(1, 101))
    assert await state_of(sessions, session) == {"n": 100}


async def test_twenty_updates_of_servers_at_once(make_sessions: MakeSessions) -> None:
    """The same holds for servers that do not know of each other."""
    session = await make_sessions().create("ada")
    loaded = [await load(make_sessions(), session.session_id) for _ in range(20)]

    def add(state: dict[str, Any]) -> int:
        state["n"] = state.get("n", 0) + 1
        return int(state["n"])

    seen = await asyncio.gather(*(other.update(add) for other in loaded))
    assert sorted(seen) == list(range(1, 21))


async def test_update_returns_what_its_function_returned(sessions: Sessions) -> None:
    """The change is in the session immediately, and stored."""
    session = await sessions.create("ada")
    session["stack"] = [1, 2]
    await session.save()
    assert await session.update(lambda state: state["stack"].pop()) == 2
    assert session.state == await state_of(sessions, session) == {"stack": [1]}
    assert await session.update(lambda state: state.pop("stack")) == [1]
    assert session.state == await state_of(sessions, session) == {}
    assert await session.update(lambda state: dict(state)) == {}


async def test_update_is_called_again_on_a_conflict(sessions: Sessions) -> None:
    """If another request came first, the function sees what it wrote, and its last value is returned."""
    session = await sessions.create("ada")
    one, two = await load(sessions, session.session_id), await load(sessions, session.session_id)
    one["n"] = 5
    await one.save()
    seen = []

    def add(state: dict[str, Any]) -> int:
        seen.append(dict(state))
        state["n"] = state.get("n", 0) + 1
        return int(state["n"])

    assert await two.update(add) == 6
    assert seen == [{}, {"n": 5}]
    assert two.state == await state_of(sessions, session) == {"n": 6}


async def test_update_writes_unsaved_changes(sessions: Sessions) -> None:
    """They are in the state that the function gets, on top of what others wrote."""
    session = await sessions.create("ada")
    other = await load(sessions, session.session_id)
    other.state.update({"a": 1, "b": 1})
    await other.save()
    session["a"] = 2
    assert await session.update(lambda state: dict(state)) == {"a": 2, "b": 1}
    assert session.state == await state_of(sessions, session) == {"a": 2, "b": 1}


async def test_update_of_an_unsaved_value(sessions: Sessions) -> None:
    """An unsaved value can be changed in place: the change counts once, here and in the store."""
    session = await sessions.create("ada")
    session["list"] = [1]
    await session.update(lambda state: state["list"].append(2))
    assert await state_of(sessions, session) == {"list": [1, 2]}
    assert session.state == {"list": [1, 2]}
    await session.save()
    assert await state_of(sessions, session) == {"list": [1, 2]}


async def test_update_of_an_unsaved_value_on_a_conflict(sessions: Sessions) -> None:
    """A change that the function made in a failed attempt is not applied twice."""
    session = await sessions.create("ada")
    other = await load(sessions, session.session_id)
    other["other"] = 1
    await other.save()
    session["list"] = [1]
    await session.update(lambda state: state["list"].append(2))
    assert await state_of(sessions, session) == {"list": [1, 2], "other": 1}
    assert session.state == {"list": [1, 2], "other": 1}


async def test_update_that_fails(store: Store, sessions: Sessions) -> None:
    """An exception from its function propagates, and nothing has changed, here or in the store."""
    session = await sessions.create("ada")
    session["a"] = 1
    await session.save()
    before = await stored(store)

    def fail(state: dict[str, Any]) -> None:
        state["a"] = 2
        raise KeyError("a")

    with pytest.raises(KeyError):
        await session.update(fail)
    assert await stored(store) == before
    assert session.state == {"a": 1}
    await session.update(lambda state: state.update(a=3))
    assert await state_of(sessions, session) == {"a": 3}


async def test_refresh(sessions: Sessions) -> None:
    """It reads what others wrote, and drops unsaved changes; the state stays the same object."""
    session = await sessions.create("ada")
    session.state.update({"a": 1, "list": [1]})
    await session.save()
    state = session.state
    other = await load(sessions, session.session_id)
    other["b"] = 2
    del other["a"]
    await other.save()
    session["unsaved"] = 1
    session["list"].append(2)
    await session.refresh()
    assert session.state == {"list": [1], "b": 2}
    assert session.state is state
    await session.save()
    assert await state_of(sessions, session) == {"list": [1], "b": 2}


async def test_refresh_reads_the_expiry(store: Store, sessions: Sessions) -> None:
    """A renewal by another request is visible here afterwards."""
    session = await sessions.create("ada")
    later = float(int(session.expires) + 100)
    await store.touch_session(session.record.key, later, time.time())
    await session.refresh()
    assert session.expires == later


# What cannot be saved


async def test_an_ended_session_cannot_be_saved(store: Store, sessions: Sessions) -> None:
    """The error is 1007, and the save does not revive the session."""
    saves: dict[str, Callable[[UserSession], Any]] = {
        "save": UserSession.save,
        "save_state": UserSession.save_state,
        "update": lambda session: session.update(lambda state: None),
    }
    for name, save in saves.items():
        session = await sessions.create("ada")
        await sessions.end(await load(sessions, session.session_id))
        session["a"] = 1
        with pytest.raises(InvalidSessionID) as refused:
            await save(session)
        assert refused.value.as_dict() == {"code": 1007, "value": "Invalid session ID."}, name
        assert await sessions.load(session.session_id) is None, name
        assert await store.list_sessions("ada") == [], name


async def test_an_ended_session_cannot_be_refreshed(sessions: Sessions) -> None:
    """The error is 1007; the contents of the session can still be read."""
    session = await sessions.create("ada")
    session["a"] = 1
    await session.save()
    await sessions.end(session)
    with pytest.raises(InvalidSessionID):
        await session.refresh()
    assert session["a"] == 1


async def test_an_end_during_a_save(store: Store, sessions: Sessions) -> None:
    """A save that is in progress when the session ends comes too late."""
    session = await sessions.create("ada")
    session["a"] = 1
    writing = Held(store, "save_session")
    save = asyncio.create_task(session.save())
    await writing.reached.wait()
    await sessions.end(session)
    writing.go.set()
    with pytest.raises(InvalidSessionID):
        await save
    assert await store.list_sessions("ada") == []


async def test_an_expiry_during_a_save(store: Store, sessions: Sessions) -> None:
    """The same holds for a session that expires in the meantime."""
    session = await sessions.create("ada")
    await store.touch_session(session.record.key, time.time() - 1, time.time())
    session["a"] = 1
    with pytest.raises(InvalidSessionID):
        await session.save()
    assert await store.list_sessions("ada") == []


async def test_what_is_no_plain_data(store: Store, sessions: Sessions) -> None:
    """It raises ``TypeError`` and nothing is stored; without that value the next save works."""
    session = await sessions.create("ada")
    odd: list[Any] = [object(), print, {"a": [object()]}, 1j, type]
    for number, value in enumerate(odd):
        session["a"] = -1
        await session.save()
        before = await stored(store)
        session["a"], session["b"] = number, value
        with pytest.raises(TypeError):
            await session.save()
        assert await stored(store) == before, value
        assert (session["a"], session["b"]) == (number, value)
        del session["b"]
        await session.save()
        assert await state_of(sessions, session) == {"a": number}, value


class Role(enum.Enum):
    """A choice, whose value is text."""

    ADMIN = "admin"


@dataclass
class Point:
    """A value with fields."""

    x: int = 1


OTHER_TYPES = [
    *(datetime(2026, 1, 2, 3), date(2026, 1, 2), clock_time(3, 4), timedelta(1), Decimal("1.5")),
    *(uuid.UUID(int=1), Role.ADMIN, {1}, frozenset({1}), (1, 2), Point(), deque([1]), range(3)),
]


def put(key: str, value: Any, state: Any) -> None:
    """Set a key of a state."""
    state[key] = value


async def test_what_would_come_back_as_another_type(sessions: Sessions) -> None:
    """``save`` and ``update`` raise ``TypeError`` with the key and the type, and nothing is stored."""
    session = await sessions.create("ada")
    for value in OTHER_TYPES:
        expected = f"'a' has a value of type {type(value).__name__}, which would come back"
        for written in (value, [{"b": [value]}]):
            session["a"] = written
            with pytest.raises(TypeError, match=expected):
                await session.save()
            del session["a"]
            with pytest.raises(TypeError, match=expected):
                await session.update(partial(put, "a", written))
            assert await state_of(sessions, session) == {}, written


async def test_a_time_with_its_zone(sessions: Sessions) -> None:
    """It comes back as the same time."""
    session = await sessions.create("ada")
    at = datetime(2026, 1, 2, 3, 4, 5, 678, timezone(timedelta(hours=2)))
    session["at"] = [at]
    await session.save()
    assert await state_of(sessions, session) == {"at": [at]}


async def test_keys_that_are_no_text(store: Store, sessions: Sessions) -> None:
    """Keys of the state must be strings; otherwise ``TypeError`` is raised and nothing is stored."""
    created = await sessions.create("ada")
    before = await stored(store)
    keys: list[Any] = [1, None, b"a", ("a",)]
    for key in keys:
        session = await load(sessions, created.session_id)
        session.state[key] = 1
        with pytest.raises(TypeError):
            await session.save()
        with pytest.raises(TypeError):
            await session.update(lambda state: None)
        assert await stored(store) == before, key


async def test_nested_keys_that_are_no_text(store: Store, sessions: Sessions) -> None:
    """They are refused when the state is saved, and a state that has them is not decoded."""
    created = await sessions.create("ada")
    before = await stored(store)
    for key in (1, None, (1, 2)):
        session = await load(sessions, created.session_id)
        session["a"] = [{key: 1}]
        with pytest.raises(TypeError, match="Keys must be strings"):
            await session.save()
        assert await stored(store) == before, key
        session.record.state = EXACT.encode({"a": [{key: 1}]})
        with pytest.raises(ValueError, match="Keys must be strings"):
            session.reset(session.record)


async def test_an_update_that_sets_what_cannot_be_written(store: Store, sessions: Sessions) -> None:
    """An error is raised, nothing is stored, and the session is unchanged."""
    for value in (object(), 2**70, "lone \ud800 surrogate"):
        session = await sessions.create("ada")
        before = await stored(store)
        with pytest.raises((TypeError, ValueError, OverflowError)):
            await session.update(lambda state: state.update(a=1, b=value))  # noqa: B023  # at once
        assert await stored(store) == before, shown(value)
        assert session.state == {}, shown(value)
        await session.update(lambda state: state.update(a=1))
        assert await state_of(sessions, session) == {"a": 1}, shown(value)
        await sessions.end(session)


async def test_refresh_drops_what_cannot_be_saved(sessions: Sessions) -> None:
    """It recovers the session after a failed save."""
    session = await sessions.create("ada")
    session["a"] = 1
    await session.save()
    session["b"] = object()
    with pytest.raises(TypeError):
        await session.save()
    await session.refresh()
    assert session.state == {"a": 1}


async def test_too_large_a_state(sessions: Sessions) -> None:
    """More than 4 MiB is a ``ValueError`` on every store, and the old state stays; so much is kept."""
    session = await sessions.create("ada")
    largest = b"'\\\0" * (MAX_SIZE // 3 - 20)
    session["large"] = largest
    await session.save()
    session["large"] = largest + b"x" * 80
    with pytest.raises(ValueError, match=f"bytes, and {MAX_SIZE} at most are kept"):
        await session.save()
    with pytest.raises(ValueError, match="at most are kept"):
        await session.update(lambda state: state.update(more=bytes(17_000_000)))
    assert (await load(sessions, session.session_id))["large"] == largest
    await session.refresh()
    session["large"] = None
    await session.save()
