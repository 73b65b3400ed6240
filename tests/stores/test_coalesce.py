"""Coalesced reads: one query for the callers that read together, and to each the value of its key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from tests.support.limits import WATCHDOG
from toto_aio.exceptions import Unavailable
from toto_aio.stores import coalesce
from toto_aio.stores.coalesce import MAX_KEYS, MAX_QUERIES, MAX_WAIT, Coalescer
from toto_aio.stores.sql.dialect import in_list


class Table:
    """The table that is read. It records the keys of each query, and answers when it may."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: Exception | None = None

    async def read(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the keys in upper case, except ``unknown``."""
        self.asked.append(keys)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return {key: key.upper() for key in keys if key != "unknown"}


async def test_concurrent_reads_share_a_query() -> None:
    """Each key is queried once; a later read gets its own query."""
    table = Table()
    coalescer = Coalescer(table.read)
    answers = await asyncio.gather(*(coalescer.get(key) for key in ("a", "b", "unknown", "a")))
    assert answers == ["A", "B", None, "A"]
    assert await coalescer.get("c") == "C"
    assert table.asked == [["a", "b", "unknown"], ["c"]]


async def test_reads_during_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to ``MAX_QUERIES`` queries run at the same time; further reads then share one."""
    monkeypatch.setattr(coalesce, "MAX_WAIT", 60)
    table = Table()
    table.may_answer.clear()
    coalescer = Coalescer(table.read)
    asking = []
    for key in ("a", "a", "b", "c", "d"):
        asking.append(asyncio.create_task(coalescer.get(key)))
        await asyncio.sleep(0.001)
    assert table.asked == [["a"], ["a"]]
    assert MAX_QUERIES == 2
    table.may_answer.set()
    assert await asyncio.gather(*asking) == ["A", "A", "B", "C", "D"]
    assert table.asked == [["a"], ["a"], ["b", "c", "d"]]


async def test_reads_during_slow_queries() -> None:
    """Reads that wait for slow queries get their own query after ``MAX_WAIT``."""
    table = Table()
    table.may_answer.clear()
    coalescer = Coalescer(table.read)
    asking = []
    for key in ("a", "b", "c", "d"):
        asking.append(asyncio.create_task(coalescer.get(key)))
        async with asyncio.timeout(WATCHDOG):
            while len(table.asked) < len(asking):
                await asyncio.sleep(MAX_WAIT / 10)
    assert table.asked == [["a"], ["b"], ["c"], ["d"]]
    table.may_answer.set()
    assert await asyncio.gather(*asking) == ["A", "B", "C", "D"]


async def test_many_keys() -> None:
    """No query has more than 64 keys."""
    table = Table()
    coalescer = Coalescer(table.read)
    answers = await asyncio.gather(*(coalescer.get(f"k{n}") for n in range(2 * MAX_KEYS + 1)))
    assert answers == [f"K{n}" for n in range(2 * MAX_KEYS + 1)]
    assert [len(keys) for keys in table.asked] == [MAX_KEYS, MAX_KEYS, 1]


async def test_cancelled_callers() -> None:
    """A caller is cancelled before the query, or during it; if all are, there is no query."""
    table = Table()
    coalescer = Coalescer(table.read)
    table.may_answer.clear()
    tasks = [asyncio.create_task(coalescer.get(key)) for key in ("a", "a", "b", "c")]
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    tasks[2].cancel()
    table.may_answer.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        asyncio.CancelledError,
        str,
        *[asyncio.CancelledError] * 2,
    ]
    assert table.asked == [["a", "b"]]
    alone = asyncio.create_task(coalescer.get("d"))
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.sleep(0.01)
    assert table.asked == [["a", "b"]]


async def test_an_error_reaches_all(caplog: pytest.LogCaptureFixture) -> None:
    """An error reaches all reads of its query and no later one; a cancelled caller causes no log message."""
    table = Table()
    coalescer = Coalescer(table.read)
    table.error = Unavailable()
    tasks = [asyncio.create_task(coalescer.get(key)) for key in ("a", "a", "b")]
    await asyncio.sleep(0)
    tasks[0].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError, Unavailable, Unavailable]
    table.error = None
    assert await coalescer.get("a") == "A"
    assert caplog.records == []


async def test_finish_waits_for_queries() -> None:
    """``finish`` returns when no query is in progress, and no read waits for one."""
    table = Table()
    table.may_answer.clear()
    coalescer = Coalescer(table.read)
    asking = []
    for key in ("a", "b", "c"):
        asking.append(asyncio.create_task(coalescer.get(key)))
        await asyncio.sleep(0.001)
    finishing = asyncio.create_task(coalescer.finish())
    await asyncio.sleep(0.001)
    assert table.asked == [["a"], ["b"], ["c"]]
    assert not finishing.done()
    table.may_answer.set()
    await asyncio.wait_for(finishing, WATCHDOG)
    assert await asyncio.gather(*asking) == ["A", "B", "C"]


@pytest.mark.parametrize(("count", "places"), [(1, 1), (2, 2), (3, 4), (5, 8), (33, 64), (64, 64)])
def test_lists_are_padded(count: int, places: int) -> None:
    """The list is padded with the last key, so that a database prepares few statements."""
    keys = [f"k{n}" for n in range(count)]
    condition, values = in_list(keys)
    assert condition.count("?") == len(values) == places
    assert set(values) == set(keys)
