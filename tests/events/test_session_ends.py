"""The ends of sessions are heard in all processes, without anybody waiting for the broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.limits import WATCHDOG
from toto_aio.events import session_ends
from toto_aio.events.session_ends import SessionEnds
from toto_aio.exceptions import Unavailable


class Events:
    """Events whose broker is out of reach for the first ``failures`` sends, and frozen if ``frozen``."""

    def __init__(self, failures: int = 0, *, frozen: bool = False) -> None:
        self.sent: list[dict[str, str]] = []
        self.told = asyncio.Event()
        self.tried = 0
        self._failures = failures
        self._frozen = frozen

    def handle_own(self, name: str, function: Any) -> None:
        """Nothing arrives."""

    async def send_own(self, name: str, args: Any) -> None:
        """Send an event, or not."""
        self.tried += 1
        if self._frozen:
            await asyncio.Event().wait()
        if self.tried <= self._failures:
            raise Unavailable from OSError("refused")
        self.sent.append(args)
        self.told.set()


def heard_by(ends: SessionEnds) -> list[dict[str, str]]:
    """What a listener hears, from now on."""
    heard: list[dict[str, str]] = []

    async def listen(end: dict[str, str]) -> None:
        heard.append(end)

    ends.listen(listen)
    return heard


async def test_a_frozen_broker(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for it, this process hears of every end, and only so many are kept for the others."""
    monkeypatch.setattr(session_ends, "CLOSE_LIMIT", 0.01)
    monkeypatch.setattr(session_ends, "MAX_TELLING", 3)
    monkeypatch.setattr(session_ends, "GRACE", 0.01)
    events: Any = Events(frozen=True)
    ends = SessionEnds(events)
    heard = heard_by(ends)
    async with asyncio.timeout(WATCHDOG):
        for n in range(4):
            await ends.announce({"key": str(n)})
        while len(heard) < 4:
            await asyncio.sleep(0.01)
        await ends.close()
    assert sorted(end["key"] for end in heard) == ["0", "1", "2", "3"]
    assert events.tried == 3
    assert caplog.text.count("too many are waiting to be told") == 1


async def test_a_broker_that_comes_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are told then, without those who have logged in since; the log has one line."""
    monkeypatch.setattr(session_ends, "PAUSE", 0)
    events: Any = Events(failures=3)
    ends = SessionEnds(events)
    await ends.announce({"user_id": "ada", "keep": "k"})
    async with asyncio.timeout(WATCHDOG):
        await events.told.wait()
    assert float(events.sent[0]["before"]) > 0
    assert events.sent[0] == {"user_id": "ada", "keep": "k", "before": events.sent[0]["before"]}
    assert caplog.text.count("learn late that their session has ended: OSError('refused')") == 1
    await ends.close()


async def test_a_broker_that_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts end when the others have found out by themselves."""
    monkeypatch.setattr(session_ends, "PAUSE", 0)
    monkeypatch.setattr(session_ends, "TELL_LIMIT", -1)
    events: Any = Events(failures=9)
    ends = SessionEnds(events)
    await ends.announce({"key": "k"})
    await ends.close()
    assert (events.tried, events.sent) == (1, [])


async def test_a_broker_that_is_well() -> None:
    """The others are told as it is, also what is announced just before the end of the process."""
    events: Any = Events()
    ends = SessionEnds(events)
    await ends.announce({"key": "k"})
    await ends.close()
    assert events.sent == [{"key": "k"}]
