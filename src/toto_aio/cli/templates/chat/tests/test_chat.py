"""Tests of the chat: everyone in a room receives what is said there."""

WORD = {"name": "Ada", "text": "hello"}
OTHER = {"name": "Eve", "text": "hello"}


async def test_a_room(toto_serve):
    """Whoever is in a room receives what is said there, once, and nothing else."""
    client = await toto_serve()
    async with client.subscribe("room:hall") as messages:
        await client.call("say", {"room": "elsewhere", **OTHER, "key": "1"})
        for _ in range(2):
            await client.call("say", {"room": "hall", **WORD, "key": "2"})
        await client.call("say", {"room": "hall", **OTHER, "key": "3"})
        assert (await anext(messages)).data == WORD
        assert (await anext(messages)).data == OTHER


async def test_who_is_there(toto_serve):
    """Whoever is in a room is counted, until they leave."""
    client = await toto_serve()
    async with client.subscribe("room:hall") as messages:
        await client.call("say", {"room": "hall", **WORD, "key": "1"})
        await anext(messages)
        assert await client.call("here", {"room": "hall"}) == 1
    assert await client.call("here", {"room": "elsewhere"}) == 0


async def test_the_page(toto_serve):
    """The page is HTML, and loads nothing from elsewhere."""
    client = await toto_serve()
    answer = await client.fetch("page")
    assert answer.content_type == "text/html"
    assert b"<title>project_name</title>" in answer.body
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
