"""Reads that are merged: one query for those who ask together, and to each the answer to its own question."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from toto_aio.exceptions import Unavailable
from toto_aio.stores import coalesce
from toto_aio.stores.coalesce import AT_ONCE, MOST, PATIENCE, Merged
from toto_aio.stores.sql.dialect import in_list


class Table:
    """What is read from; it keeps what was asked for, and answers when it may."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: Exception | None = None

    async def read(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Upper case, for all but the unknown."""
        self.asked.append(keys)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return {key: key.upper() for key in keys if key != "unknown"}


async def test_one_query_for_those_who_ask_together() -> None:
    """Each key is asked for once; who asks later is answered by a query of its own."""
    table = Table()
    merged = Merged(table.read)
    answers = await asyncio.gather(*(merged.get(key) for key in ("a", "b", "unknown", "a")))
    assert answers == ["A", "B", None, "A"]
    assert await merged.get("c") == "C"
    assert table.asked == [["a", "b", "unknown"], ["c"]]


async def test_who_asks_while_queries_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next queries do not wait for them until there are enough; then the others ask together."""
    monkeypatch.setattr(coalesce, "PATIENCE", 60)
    table = Table()
    table.may_answer.clear()
    merged = Merged(table.read)
    asking = []
    for key in ("a", "a", "b", "c", "d"):
        asking.append(asyncio.create_task(merged.get(key)))
        await asyncio.sleep(0.001)
    assert table.asked == [["a"], ["a"]] and AT_ONCE == 2
    table.may_answer.set()
    assert await asyncio.gather(*asking) == ["A", "A", "B", "C", "D"]
    assert table.asked == [["a"], ["a"], ["b", "c", "d"]]


async def test_who_is_slow_is_in_nobodys_way() -> None:
    """Those who wait for slow queries ask by themselves after a moment, and again after each further one."""
    table = Table()
    table.may_answer.clear()
    merged = Merged(table.read)
    asking = []
    for key in ("a", "b", "c", "d"):
        asking.append(asyncio.create_task(merged.get(key)))
        await asyncio.sleep(2 * PATIENCE)
    assert table.asked == [["a"], ["b"], ["c"], ["d"]]
    table.may_answer.set()
    assert await asyncio.gather(*asking) == ["A", "B", "C", "D"]


async def test_many_keys() -> None:
    """No query has more than 64."""
    table = Table()
    merged = Merged(table.read)
    answers = await asyncio.gather(*(merged.get(f"k{n}") for n in range(2 * MOST + 1)))
    assert answers == [f"K{n}" for n in range(2 * MOST + 1)]
    assert [len(keys) for keys in table.asked] == [MOST, MOST, 1]


async def test_who_is_cancelled_disturbs_no_other() -> None:
    """Neither before the query nor while it is under way; for nobody there is no query."""
    table = Table()
    merged = Merged(table.read)
    table.may_answer.clear()
    tasks = [asyncio.create_task(merged.get(key)) for key in ("a", "a", "b", "c")]
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
    alone = asyncio.create_task(merged.get("d"))
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.sleep(0.01)
    assert table.asked == [["a", "b"]]


async def test_an_error_reaches_all(caplog: pytest.LogCaptureFixture) -> None:
    """All who asked together, and none who asks afterwards; one who has gone leaves no trace."""
    table = Table()
    merged = Merged(table.read)
    table.error = Unavailable()
    tasks = [asyncio.create_task(merged.get(key)) for key in ("a", "a", "b")]
    await asyncio.sleep(0)
    tasks[0].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError, Unavailable, Unavailable]
    table.error = None
    assert await merged.get("a") == "A"
    assert caplog.records == []


async def test_the_end_waits_for_queries() -> None:
    """``finish`` returns when none is under way, and nobody waits for one."""
    table = Table()
    table.may_answer.clear()
    merged = Merged(table.read)
    asking = []
    for key in ("a", "b", "c"):
        asking.append(asyncio.create_task(merged.get(key)))
        await asyncio.sleep(0.001)
    finishing = asyncio.create_task(merged.finish())
    await asyncio.sleep(0.001)
    assert table.asked == [["a"], ["b"], ["c"]]
    assert not finishing.done()
    table.may_answer.set()
    await asyncio.wait_for(finishing, 20)
    assert await asyncio.gather(*asking) == ["A", "B", "C"]


@pytest.mark.parametrize(("count", "places"), [(1, 1), (2, 2), (3, 4), (5, 8), (33, 64), (64, 64)])
def test_lists_of_few_lengths(count: int, places: int) -> None:
    """The places are filled up with the last key, so that a database prepares few statements."""
    keys = [f"k{n}" for n in range(count)]
    condition, values = in_list(keys)
    assert condition.count("?") == len(values) == places
    assert set(values) == set(keys)
