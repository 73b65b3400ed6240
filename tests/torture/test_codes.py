"""Tests of the drill of codes: its verdict, and a short run."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from torture.codes import CONTROL, Run, measure, read_options, table, verdict

from toto_aio.auth.codes import Codes
from toto_aio.stores.memory import MemoryStore


def test_options() -> None:
    """There is at least one code, and only databases that there are."""
    assert read_options(["--rounds=2", "--databases=memory,redis"]).databases == ("memory", "redis")
    for wrong in ("--rounds=0", "--uses=1", "--databases=oracle"):
        with pytest.raises(SystemExit):
            read_options([wrong])


def test_verdict() -> None:
    """A code that works twice or never, and other errors, fail it, and so does a control that works once."""
    control = one([1, 7], is_control=True)
    assert verdict([one([1, 1]), one([1, 1], repeats=3), control])[0]
    for broken in (
        one([1, 2]),
        one([1, 0]),
        one([1]),
        one([1, 0], repeats=3),
        one([1, 1], errors=Counter(["1000"])),
    ):
        assert verdict([one([1, 1]), broken, control])[1].startswith("FAILED: sqlite: ")
    passed, said = verdict([one([1, 1]), one([1, 1], is_control=True)])
    assert (passed, "proves nothing" in said) == (False, True)


async def test_the_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that use its codes at the same time both succeed."""
    monkeypatch.setattr(Codes, "__init__", Codes.__init__)  # which the control replaces
    exec(CONTROL, {})  # noqa: S102  # as the drill's service does
    store = MemoryStore()
    processes = [Codes(store, store, []) for _ in range(2)]
    draft = processes[0].draft("login", "ada")
    await processes[0].store(draft, "ada", {})
    spent = await asyncio.gather(*(each.spend("login", draft.ticket, draft.digits) for each in processes))
    assert [each.owner for each in spent] == ["ada", "ada"]


def test_a_short_run() -> None:
    """A code works once. Whether one of the control works more often is chance."""
    runs = measure(rounds=1, uses=50, processes=2, databases=["sqlite"])
    passed, said = verdict([runs[0], one([1, 2], is_control=True)])
    assert passed, f"{said}\n{table(runs)}"
    assert len({line.count("|") for line in table(runs).splitlines()}) == 1


def one(worked: list[int], **more: Any) -> Run:
    """A run of two codes."""
    return Run("sqlite", 2, 50, 2, worked=worked, **more)
