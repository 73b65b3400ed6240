"""A call of an idempotent method is sent again when no response comes, and is done once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest

import toto_aio.methods
from tests.support.limits import WATCHDOG
from toto_aio import Handler
from toto_aio.client import Client, Response, retry
from toto_aio.exceptions import NotAuthorized, TooManyAttempts, TotoException, Unavailable
from toto_aio.invocation import idempotent, optionally_authenticated
from toto_aio.registry import find_methods
from toto_aio.testing import serving

PASSWORD = "correct horse"

counts: Counter[str] = Counter()
fails: list[TotoException] = []


@optionally_authenticated
@idempotent
async def count(handler: Handler, name: str) -> int:
    """Count the calls with a name; repeats count once, and what fails does not."""
    if fails:
        raise fails.pop()
    counts[name] += 1
    return counts[name]


class Lossy:
    """A middleware of aiohttp's client that loses the next responses."""

    lost = 0
    sent = 0

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        self.sent += 1
        response = await handler(request)
        if self.lost:
            self.lost -= 1
            response.close()
            raise aiohttp.ServerDisconnectedError
        return response


async def test_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a user's call is repeated, as only that may have a key; and only after what may pass."""
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.01)
    accounts = {name: each.invoke for name, each in find_methods(toto_aio.methods, 60).items()}
    async with serving({**accounts, "count": count}) as service:
        line = Lossy()
        async with aiohttp.ClientSession(middlewares=[line], cookie_jar=aiohttp.DummyCookieJar()) as http:
            client = Client(service.url, timeout=WATCHDOG, http=http)
            line.lost = 1
            with pytest.raises(aiohttp.ServerDisconnectedError):  # it may have been done: so it was
                await client.call("count", {"name": "nobody"}, idempotent=True)
            assert counts["nobody"] == 1
            with pytest.raises(NotAuthorized):
                await client.call("count", {"name": "nobody"}, idempotent=True, idempotency_key="a")
            await client.create_account("ada", PASSWORD)
            line.lost = 2
            assert await client.call("count", {"name": "ada"}, idempotent=True) == 1
            assert counts["ada"] == 1
            assert await client.call("count", {"name": "ada"}, idempotent=True) == 2
            line.lost = 3
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await client.call("count", {"name": "lost"}, idempotent=True)
            assert counts["lost"] == 1
            for error, sent in (
                (Unavailable(), 2),
                (TooManyAttempts(retry_after=60), 1),
                (TotoException(2001, "no"), 1),
            ):
                fails[:], line.sent = [error], 0
                call = client.call("count", {"name": "later"}, idempotent=True)
                if sent > 1:
                    assert await call == 1
                else:
                    with pytest.raises(TotoException) as caught:
                        await call
                    assert caught.value.code == error.code
                assert line.sent == sent, error
        hasty = Client(service.url, session=client.session, timeout=0.2)

        async def never(*given: Any, **options: Any) -> Response:
            await asyncio.sleep(WATCHDOG)
            raise AssertionError

        monkeypatch.setattr(hasty, "fetch", never)
        with pytest.raises(TimeoutError):
            await hasty.call("count", {"name": "slow"}, idempotent=True)
