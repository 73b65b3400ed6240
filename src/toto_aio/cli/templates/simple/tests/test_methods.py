"""Tests of the methods, called as a client calls them, and in process."""

import asyncio

import pytest
from toto_aio import TotoException

from methods import count, hello


async def test_hello(toto_call):
    """It greets by name, and requires a name."""
    assert await toto_call(hello, {"name": "Ada"}) == {"hello": "Ada"}
    with pytest.raises(TotoException, match="name is missing"):
        await toto_call(hello)


async def test_count(toto_call):
    """Every call counts, even if many arrive at the same time."""
    calls = [toto_call(count, user_id="ada") for _ in range(10)]
    assert sorted(await asyncio.gather(*calls)) == list(range(1, 11))


async def test_as_a_client(toto_serve):
    """Each user has their own counter; without a login there is none."""
    ada = await toto_serve()
    assert await ada.get("hello", {"name": "Ada"}) == {"hello": "Ada"}
    with pytest.raises(TotoException, match="Not authorized"):
        await ada.call("count")
    bob = ada.another()
    await ada.create_account("ada", "correct horse")
    await bob.create_account("bob", "battery staple")
    assert [await ada.call("count") for _ in range(3)] == [1, 2, 3]
    assert await bob.call("count") == 1
