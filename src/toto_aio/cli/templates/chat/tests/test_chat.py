"""Tests of the chat: everyone in a room receives what is said there."""

import asyncio

WORD = {"name": "Ada", "text": "hello"}


async def test_by_socket(toto_serve):
    """A listener in a room receives what is said there, and nothing else."""
    client = await toto_serve()
    async with client.socket() as socket:
        assert await socket.call("listen", {"room": "hall"}) == "listening"
        await client.call("say", {"room": "elsewhere", "name": "Eve", "text": "psst"})
        await client.call("say", {"room": "hall", **WORD})
        assert await socket.receive() == WORD


async def test_by_long_polling(toto_serve):
    """A call waits until something is said."""
    client = await toto_serve()
    waiting = asyncio.create_task(client.call("wait", {"room": "hall"}))
    while not waiting.done():
        await asyncio.sleep(0.05)
        await client.call("say", {"room": "hall", **WORD})
    assert waiting.result() == WORD


async def test_the_page(toto_serve):
    """The page is HTML."""
    client = await toto_serve()
    answer = await client.fetch("page")
    assert answer.content_type == "text/html"
    assert b"<title>project_name</title>" in answer.body
