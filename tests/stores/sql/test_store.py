"""The statements of the SQL stores: bounded sweeps, and the longest keys."""

from __future__ import annotations

from msgspec.structs import replace

from tests.support.sql_stores import opened, run, session
from toto_aio.models import Account


async def test_a_sweep_is_bounded(new_url: str) -> None:
    """A sweep drops a thousand rows at a time, so that no other operation waits long for it."""
    async with opened(new_url) as store:
        rows = ", ".join(f"('{n}', 1, 1)" for n in range(2048))
        await run(store, f"INSERT INTO toto_counters VALUES {rows}")  # noqa: S608
        assert await store.add_once("living", 60) is True
        assert [await store.sweep() for _ in range(4)] == [1000, 1000, 48, 0]
        assert await store.add_once("living", 60) is False


async def test_the_longest_keys(new_url: str) -> None:
    """User ids and counters of 255 bytes are distinguished to the last one."""
    async with opened(new_url) as store:
        longest = "🦊" * 63 + "xx"
        for n, last in enumerate("ab"):
            await store.add_account(Account(longest + last, None, {"n": n}))
            await store.add_session(replace(session(last), user_id=longest + last))
        account = await store.get_account(longest + "b")
        assert account is not None
        assert account.values == {"n": 1}
        assert [found.key for found in await store.list_sessions(longest + "b")] == ["b"]
        assert [await store.increment(longest + last, 60) for last in "aab"] == [1, 2, 1]
