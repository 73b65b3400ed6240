"""Event streams of channels: what they send, who gets one, recovery, and their ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import ANY
from urllib.parse import urlencode

import aiohttp
import pytest

import toto_aio.methods.account.api_keys
from tests.support.documented import documented_client
from tests.support.limits import WATCHDOG, limits
from tests.support.rooms import ROOMS, publish
from tests.support.service import Serve, Service, eventually
from toto_aio import Handler
from toto_aio.auth import stream_tickets
from toto_aio.client import Client
from toto_aio.events.followed import Publication
from toto_aio.exceptions import NotAuthorized, TotoException, Unavailable
from toto_aio.http import event_stream, event_writer
from toto_aio.http.event_streams import EVENT_STREAMS
from toto_aio.invocation import channel
from toto_aio.lifespan import LIFESPAN
from toto_aio.members import Admission


@channel("odd")
async def odd() -> None:
    """Fail."""
    raise TotoException(2000, "odd")


METHODS = ROOMS | {"odd": odd}


class Stream:
    """What a client reads of a stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.id = ""

    async def block(self) -> dict[str, str]:
        """The next block that is no comment, by its fields; {} at the end."""
        found: dict[str, str] = {}
        async with asyncio.timeout(WATCHDOG):
            while line := (await self.response.content.readline()).decode():
                if line != "\n":
                    assert line.endswith("\n"), line
                    name, _, value = line[:-1].partition(": ")
                    if name != ":":
                        found[name] = value
                elif found:
                    break
        return found

    async def event(self) -> tuple[str, Any]:
        """The name and the data of the next event."""
        found = await self.block()
        assert {"id", "data"} <= found.keys(), found  # clients skip an id without data
        self.id = found["id"]
        return found.get("event", ""), json.loads(found["data"])

    async def messages(self, count: int) -> list[Any]:
        """The data of so many publications."""
        events = [await self.event() for _ in range(count)]
        assert {name for name, _ in events} <= {""}, events
        return [each["data"] for _, each in events]

    async def ends(self) -> None:
        """Wait until it ends as it should, and not in the middle of something."""
        assert await self.block() == {}


def url_of(*names: str, **query: str) -> str:
    """The path of a stream."""
    return "/service/events?" + urlencode([*(("channel", name) for name in names), *query.items()], safe=":")


@asynccontextmanager
async def streaming(
    service: Service, *names: str, headers: Any = None, **query: str
) -> AsyncIterator[Stream]:
    """A stream, after its beginning."""
    async with service.client.get(url_of(*names, **query), headers=headers) as response:
        assert response.status == 200, await response.text()
        stream = Stream(response)
        assert 1000 <= int((await stream.block())["retry"]) <= 3000
        yield stream


async def say(service: Service, name: str, *data: Any) -> None:
    """Publish."""
    for each in data:
        await service.result("publish", {"channel": name, "data": each})


async def status(service: Service, *names: str, headers: Any = None, **query: str) -> tuple[int, Any]:
    """The status of a refusal, and its error, if there is a body."""
    async with service.client.get(url_of(*names, **query), headers=headers) as response:
        assert response.status != 200, "it is not refused"
        body = await response.read()
        return response.status, json.loads(body)["error"] if body else None


async def gone(service: Service) -> None:
    """Wait until nothing is left of any stream."""
    app = service.client.app
    assert app is not None
    channels = app[LIFESPAN].runtime.needed_events().channels
    await eventually(lambda: not app[EVENT_STREAMS].open and channels.counts() == (0, 0))


async def test_a_stream(serve: Serve) -> None:
    """It has what a socket gets of its channels, and every id says where the client is in all of them."""
    service = await serve(METHODS)
    async with streaming(service, "room:7", "plain", "room:8", "room:7") as stream:
        head = stream.response.headers
        assert head["Content-Type"] == "text/event-stream"
        assert (head["Cache-Control"], head["X-Accel-Buffering"]) == ("no-store", "no")
        assert head["Connection"] == "close"
        begun = [await stream.event() for _ in range(3)]
        assert begun == [
            ("subscribed", {"channel": name, "recovered": False, "data": data})
            for name, data in [
                ("room:7", {"topic": "room 7", "user": None}),
                ("plain", None),
                ("room:8", {"topic": "room 8", "user": None}),
            ]
        ]
        await say(service, "room:7", "one\n\ndata: two", {"three": "\u2028"})
        await say(service, "plain", 4)
        await say(service, "room:8", 5)
        assert [await stream.event() for _ in range(4)] == [
            ("", {"channel": "room:7", "data": "one\n\ndata: two", "offset": 1}),
            ("", {"channel": "room:7", "data": {"three": "\u2028"}, "offset": 2}),
            ("", {"channel": "plain", "data": 4}),
            ("", {"channel": "room:8", "data": 5, "offset": 1}),
        ]
        parts = [part.split("/") for part in stream.id.split(" ")]
        assert [(part[0], *part[2:]) for part in parts] == [("room:7", "2"), ("plain",), ("room:8", "1")]
    await gone(service)


async def test_recovery(serve: Serve) -> None:
    """A client that shows an id goes on there, in each channel, or is told that it cannot."""
    service = await serve(METHODS)
    async with streaming(service, "room:1", "room:2", "plain") as stream:
        for _ in range(3):
            await stream.event()
        await say(service, "room:1", "a")
        assert await stream.messages(1) == ["a"]
        left = stream.id
    await say(service, "room:1", "b", "c")
    shown: list[tuple[dict[str, Any], list[str]]] = [
        ({"headers": {"Last-Event-ID": left}}, ["b", "c"]),
        ({"last_event_id": left}, ["b", "c", "d"]),
    ]
    for how, missed in shown:
        async with streaming(service, "room:2", "room:1", "plain", "room:3", **how) as stream:
            assert (await stream.event())[1]["recovered"] is True
            assert (await stream.event())[1] == {
                "channel": "room:1",
                "recovered": True,
                "data": {"topic": "room 1", "user": None},
            }
            assert await stream.messages(len(missed)) == missed
            assert (await stream.event())[1]["recovered"] is False
            assert await stream.event() == ("unrecovered", {"channel": "plain"})  # it has no history
            assert (await stream.event())[1] == {  # it is new to the client, who has missed nothing
                "channel": "room:3",
                "recovered": False,
                "data": {"topic": "room 3", "user": None},
            }
            await say(service, "room:1", "d")
            assert await stream.messages(1) == ["d"]
    later = stream.id
    async with streaming(service, "room:1", headers={"Last-Event-ID": later}, last_event_id=left) as stream:
        assert (await stream.event())[1]["recovered"] is True
        await say(service, "room:1", "f")
        assert await stream.messages(1) == ["f"]  # the header counts, as the query is older
    await say(service, "room:1", *range(7))
    for wrong in (left, "x" * 5000, "\xe4", "a b/c", "room:1/x/99999999999999999", "room:1/e/5", "1425"):
        async with streaming(service, "room:1", headers={"Last-Event-ID": wrong}) as stream:
            assert (await stream.event())[1]["recovered"] is False
            assert await stream.event() == ("unrecovered", {"channel": "room:1"}), wrong
            await say(service, "room:1", wrong)
            assert await stream.messages(1) == [wrong]
    await gone(service)


async def test_who_gets_one(serve: Serve) -> None:
    """The functions decide, with every guard; a refusal has the status of its error, whatever the option."""
    service = await serve({**METHODS, "account.api_keys": toto_aio.methods.account.api_keys})
    ada = {"x-toto-session-id": await service.create()}
    async with streaming(service, "own:ada", "room:1", headers=ada) as stream:
        assert (await stream.event())[1]["data"] is None
        assert (await stream.event())[1]["data"] == {"topic": "room 1", "user": "ada"}
    wanted = {"name": "k", "scopes": ["own"], "password": "correct horse"}
    made = await service.result("account.api_keys.create", wanted, session=ada["x-toto-session-id"])
    bearer = {"Authorization": f"Bearer {made['key']}"}
    mistyped = {"Authorization": bearer["Authorization"][:-1] + ("y" if made["key"][-1] == "x" else "x")}
    async with streaming(service, "own:ada", headers=bearer) as stream:
        await stream.event()
    too_many = [f"room:{n}" for n in range(33)]
    for names, headers, expected in [
        (("own:ada",), {}, (401, 1004)),
        (("own:eve",), ada, (403, 1004)),
        (("own:ada",), {"x-toto-session-id": "nobody's"}, (401, 1004)),
        (("own:ada",), mistyped, (401, 1004)),
        (("room:1", "plain"), bearer, (403, 1004)),  # beyond the scopes of the key
        (("room:1", "room:100"), ada, (403, 1004)),
        (("nowhere",), ada, (404, 1001)),
        (("room:x",), {}, (400, 1003)),
        (("odd",), {}, (400, 2000)),
        ((), {}, (400, 1003)),
        (too_many, {}, (400, 1003)),
        ((20 * "own:" + "x", *(f"own:{n:0240}" for n in range(20))), {}, (400, 1003)),
        (("room:1",), {"x-toto-timeout": "soon"}, (400, 1003)),
    ]:
        found, error = await status(service, *names, headers=headers)
        assert (found, error["code"]) == expected, (names, error)
    assert (await service.client.get(url_of("own:ada"))).headers["WWW-Authenticate"].startswith("Bearer")
    last = {"Last-Event-ID": "room:1/x/5"}
    for names, headers in [(("own:ada",), {}), (("own:eve",), ada), (("nowhere",), {})]:
        assert await status(service, *names, headers={**headers, **last}) == (204, None), names
    assert (await status(service, "room:x", headers=last))[0] == 400
    await gone(service)


@pytest.mark.parametrize("serve", ["general", "fast"], indirect=True)
async def test_other_verbs(serve: Serve) -> None:
    """HEAD has the head, OPTIONS says what there is, and others are refused, on both paths."""
    service = await serve(METHODS)
    client = service.client
    head = await client.head(url_of("room:1"))
    assert (head.status, head.headers["Content-Type"]) == (200, "text/event-stream")
    assert (await client.head(url_of("own:ada"))).status == 401
    for verb, expected in {"OPTIONS": 204, "POST": 405, "PUT": 405, "DELETE": 405}.items():
        response = await client.request(verb, "/service/events?channel=room:1", json={})
        assert (response.status, response.headers["Allow"]) == (expected, "GET, HEAD, OPTIONS"), verb
    assert (await client.post("/service", json={"method": "events"})).status == 200  # 1001, as any other
    await gone(service)


async def test_a_service_without_channels(serve: Serve) -> None:
    """It has no streams, and a method keeps the path that it had."""

    async def events(handler: Handler, parameters: dict[str, Any]) -> str:
        """Answer."""
        return "mine"

    service = await serve({"publish": publish})
    answer = await (await service.client.get("/service/events?channel=x")).json()
    assert answer["error"]["code"] == 1001  # as any other method that isn't there
    service = await serve({**METHODS, "events": events}, get_methods="all")
    assert (await (await service.client.get("/service/events?channel=plain")).json())["result"] == "mine"
    assert (await service.client.get("/service/events?channel=plain")).status == 200


async def test_the_end_of_a_session(serve: Serve) -> None:
    """It ends the stream, which says so; the client that comes back gets 204, and stops."""
    service = await serve(METHODS)
    ada = await service.create()
    headers = {"x-toto-session-id": ada}
    async with streaming(service, "own:ada", headers=headers) as stream:
        await stream.event()
        await service.call("account.logout", session=ada)
        assert await stream.event() == ("unsubscribed", {"code": 2000, "reason": "The session has ended"})
        await stream.ends()
    assert await status(service, "own:ada", headers={**headers, "Last-Event-ID": stream.id}) == (204, None)
    await gone(service)


async def test_limits(serve: Serve) -> None:
    """The channels of a session are counted with those of its sockets, and no longer once they have ended."""
    service = await serve(METHODS, session_channels=3)
    headers = {"x-toto-session-id": await service.create()}
    async with (
        service.client.ws_connect("/service/websocket", headers=headers) as socket,
        streaming(service, "room:1", "room:2", headers=headers) as stream,
    ):
        await socket.send_json({"id": 1, "subscribe": "room:1"})
        assert "result" in await socket.receive_json()
        assert (await status(service, "room:3", headers=headers))[0] == 400
        assert (await status(service, "room:3", "room:4", headers=headers))[0] == 400
        await stream.event()
    await gone(service)
    async with streaming(service, "room:1", "room:2", "room:3", headers=headers) as stream:
        await stream.event()


async def test_a_slow_client(serve: Serve) -> None:
    """Its stream ends after what waits was sent, and it recovers the rest: nothing is lost or doubled."""
    service = await serve(METHODS)
    got: list[Any] = []
    sent = [f"{n}" + 60_000 * "x" for n in range(5)]
    with limits(event_stream, QUEUE_BYTES=100_000), limits(event_writer, QUEUE_BYTES=100_000):
        async with streaming(service, "room:1") as stream:
            await stream.event()
            manager = service.client.app[LIFESPAN].runtime.needed_events()
            for each in sent:  # in one turn of the loop, so that none of them is written in between
                await manager.publish("room:1", each)
            while found := await stream.block():
                got.append(json.loads(found["data"])["data"])
                stream.id = found["id"]
        assert 0 < len(got) < 5
        async with streaming(service, "room:1", headers={"Last-Event-ID": stream.id}) as stream:
            assert (await stream.event())[1]["recovered"] is True
            got += await stream.messages(5 - len(got))  # more than may wait at once
    assert got == sent
    await gone(service)


async def test_a_beginning_with_history(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new client may begin with the newest publications; for one that comes back nothing is different."""
    service = await serve(METHODS)
    await say(service, "room:1", *range(7))
    for history, expected in [("3", [4, 5, 6]), ("100", [2, 3, 4, 5, 6]), ("0", [])]:
        async with streaming(service, "plain", "room:1", "room:2", history=history) as stream:
            await stream.event()
            assert (await stream.event())[1]["recovered"] is False
            assert await stream.messages(len(expected)) == expected
            await stream.event()
            await say(service, "room:2", "new")
            assert await stream.messages(1) == ["new"]
    await say(service, "room:1", 7)
    async with streaming(service, "room:1", history="5", last_event_id=stream.id) as stream:
        assert (await stream.event())[1]["recovered"] is True
        assert await stream.messages(1) == [7]
    for wrong in ("", "-1", "x", "100000", "\u0663"):
        assert (await status(service, "room:1", history=wrong))[1]["code"] == 1003, wrong
    channels = service.client.app[LIFESPAN].runtime.needed_events().channels
    history_of = channels.history

    async def while_others_publish(*arguments: Any, **options: Any) -> Any:
        found = await history_of(*arguments, **options)
        for _ in range(2):
            await channels.publish("room:1", "x", None)
        return found

    monkeypatch.setattr(channels, "history", while_others_publish)
    async with streaming(service, "room:1", history="5") as stream:
        assert (await stream.event())[1]["recovered"] is False
        assert await stream.messages(4) == ["x", "x", "x", "x"]  # not five, of which one is gone meanwhile
    await gone(service)


async def test_presence(serve: Serve) -> None:
    """A stream is present in its channels until it ends, and told who comes and goes."""

    @channel("hall", presence=True, join_leave=True)
    async def hall(handler: Handler, parameters: Any) -> Any:
        return Admission("welcome", info={"name": "Ada"})

    service = await serve({**METHODS, "hall": hall})
    events = service.client.app[LIFESPAN].runtime.needed_events()
    headers = {"x-toto-session-id": await service.create()}
    async with streaming(service, "hall") as stream:
        name, begun = await stream.event()
        assert (name, begun["data"]) == ("subscribed", "welcome")
        assert (await stream.event())[1]["client"] == begun["client"]  # it hears of itself too
        async with streaming(service, "hall", headers=headers) as other:
            client = (await other.event())[1]["client"]
            member = {"client": client, "user": "ada", "info": {"name": "Ada"}}
            assert await stream.event() == ("joined", {"channel": "hall", **member})
            assert {each.client for each in await events.presence("hall")} == {client, begun["client"]}
        assert await stream.event() == ("left", {"channel": "hall", **member})
        events.channels._followed["hall"].lose()
        while (await stream.event())[0] != "subscribed":
            pass
        assert events.channels.measured().members == 1
        assert [each.client for each in await events.presence("hall")] == [begun["client"]]
    await gone(service)
    assert events.channels.measured().members == 0


async def test_what_cannot_be_told(serve: Serve, errors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses the stream before that begins; a stream that cannot go on ends."""

    @channel("odd-data", presence=True)
    async def odd_data() -> Any:
        return Admission(object())

    @channel("odd-info", presence=True)
    async def odd_info() -> Any:
        return Admission(info=object())

    service = await serve({**METHODS, "odd_data": odd_data, "odd_info": odd_info})
    channels = service.client.app[LIFESPAN].runtime.needed_events().channels
    for name in ("odd-data", "odd-info"):
        assert (await status(service, "plain", name))[0] == 500, name
    assert len(errors()) == 2
    monkeypatch.setattr(channels, "subscribe", lambda subscription, since: 1 / 0)
    async with streaming(service, "plain") as stream:
        await stream.ends()
    assert errors()[2:] == ["an event stream ends, as it cannot go on"]
    await gone(service)


async def test_signs_of_life(serve: Serve) -> None:
    """A silent stream has comments, which no client shows."""
    service = await serve(METHODS)
    with limits(event_writer, HEARTBEAT=0.05):
        async with streaming(service, "room:1") as stream:
            await stream.event()
            for _ in range(3):
                assert await stream.response.content.readline() == b":\n"
                assert await stream.response.content.readline() == b"\n"
            await say(service, "room:1", 1)
            assert await stream.messages(1) == [1]


async def test_what_is_away_is_waited_for(serve: Serve) -> None:
    """A stream begins although a store or the broker is away, and goes on when it is back: never a 503."""
    away, refused = True, False
    asked = 0

    @channel("late", history=5)
    async def late() -> str:
        """Admit once the store is back."""
        nonlocal asked
        asked += 1
        if away:
            raise Unavailable
        if refused:
            raise NotAuthorized
        return "admitted"

    service = await serve({**METHODS, "late": late})
    channels = service.client.app[LIFESPAN].runtime.needed_events().channels
    with limits(event_stream, MIN_PAUSE=0.01, MAX_PAUSE=0.02):
        async with streaming(service, "late") as stream:
            await eventually(lambda: asked > 3)
            away = False
            assert await stream.event() == (
                "subscribed", {"channel": "late", "recovered": False, "data": "admitted"},
            )  # fmt: skip
            await say(service, "late", 1)
            assert await stream.messages(1) == [1]
        away, refused = True, True
        async with streaming(service, "late", headers={"Last-Event-ID": stream.id}) as stream:
            away = False
            await stream.ends()  # and the client that comes back is told
        assert await status(service, "late", headers={"Last-Event-ID": stream.id or "late"}) == (204, None)
        subscribe, failures = channels.subscribe, 3

        async def fails_at_first(*arguments: Any) -> Any:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                channels.unsubscribe(arguments[0])
                raise Unavailable
            return await subscribe(*arguments)

        channels.subscribe = fails_at_first
        async with streaming(service, "room:1") as stream:
            await stream.event()
            await say(service, "room:1", 1)
            assert await stream.messages(1) == [1]
        assert failures < 0
    await gone(service)


async def test_what_was_lost(serve: Serve, errors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that the process cannot make up is told on the stream, which goes on."""
    service = await serve(METHODS)
    channels = service.client.app[LIFESPAN].runtime.needed_events().channels
    async with streaming(service, "room:1", "plain") as stream:
        await stream.event()
        await stream.event()
        await say(service, "room:1", 1)
        assert await stream.messages(1) == [1]
        for name, recovered in [("room:1", True), ("plain", False)]:
            channels._followed[name].lose()
            assert (await stream.event())[1]["recovered"] is recovered
        assert await stream.event() == ("unrecovered", {"channel": "plain"})
        await say(service, "room:1", 2)
        assert await stream.messages(1) == [2]
        with monkeypatch.context() as patch:
            patch.setattr(Publication, "data", lambda publication: 1 / 0)
            await say(service, "room:1", 3)
            assert await stream.event() == ("unrecovered", {"channel": "room:1"})  # and not again and again
        assert errors() == ["a publication of 'room:1' could not be sent as an event"]
        await say(service, "room:1", 4)
        assert await stream.messages(1) == [4]
    await gone(service)


async def test_a_drain(serve: Serve) -> None:
    """It ends all streams at once, and one that begins now ends at once; both come back elsewhere."""
    service = await serve(METHODS)
    app = service.client.app
    assert app is not None
    async with streaming(service, "room:1") as stream:
        await stream.event()
        app[EVENT_STREAMS]._service.context.drain.begin()
        await stream.ends()
    async with streaming(service, "room:1") as stream:
        await stream.ends()
    await gone(service)


# Whose page it is


PAGE = "https://page.example"


async def test_tickets(serve: Serve) -> None:
    """A ticket is good for one stream of its session, for half a minute; a session id in a URL for none."""
    keys = {"account.api_keys": toto_aio.methods.account.api_keys}
    service = await serve({**METHODS, **keys}, allow_origin=[PAGE])
    ada = await service.create()

    async def new() -> str:
        made = await service.result("events.ticket", session=ada)
        assert made["seconds"] == 30
        return str(made["ticket"])

    ticket = await new()
    async with streaming(service, "own:ada", ticket=ticket, headers={"Origin": PAGE}) as stream:
        assert stream.response.headers["Access-Control-Allow-Origin"] == PAGE
        await stream.event()
        with limits(stream_tickets, TTL=-1):
            late = (await service.result("events.ticket", session=ada))["ticket"]
        for wrong in (ticket, late, "", "x", "x" * 100, "é", ada):
            assert (await status(service, "own:ada", ticket=wrong))[0] == 401, wrong
        assert await status(service, "own:ada", ticket=ticket, last_event_id=stream.id) == (204, None)
        assert (await status(service, "own:ada", session_id=ada))[0] == 401
        last = await new()
        both = await asyncio.gather(*(status(service, "own:eve", ticket=last) for _ in range(5)))
        assert sorted(found for found, _ in both) == [401, 401, 401, 401, 403]
        left = await new()
        await service.call("account.logout", session=ada)
        assert (await stream.event())[0] == "unsubscribed"
        await stream.ends()
    assert (await status(service, "own:ada", ticket=left))[0] == 401
    wanted = {"name": "k", "scopes": ["*"], "password": "correct horse"}
    login = await service.result("account.login", {"user_id": "ada", "password": "correct horse"})
    made = await service.result("account.api_keys.create", wanted, session=login["session_id"])
    for headers in ({}, {"Authorization": f"Bearer {made['key']}"}, {"x-toto-session-id": ada}):
        assert (await service.call("events.ticket", **headers))["error"]["code"] == 1004, headers
    await gone(service)


async def test_the_cookie(serve: Serve) -> None:
    """It counts for pages of the service and of allowed origins, and for no other page's request."""
    service = await serve(METHODS, use_cookies=True, secure_cookies=False, allow_origin=[PAGE])
    own = f"http://127.0.0.1:{service.client.port}"
    headers = {"Cookie": f"toto-session={await service.create()}"}
    for shown, expected in [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": own}, 200),
        ({"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}, 200),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 401),
        ({"Sec-Fetch-Site": "cross-site"}, 401),
        ({"Sec-Fetch-Site": "same-site"}, 401),
    ]:
        async with service.client.get(url_of("own:ada"), headers={**headers, **shown}) as response:
            assert response.status == expected, shown
            if shown.get("Origin") == PAGE:
                assert response.headers["Access-Control-Allow-Credentials"] == "true"
    await gone(service)


async def test_signed_sessions(serve: Serve) -> None:
    """Under signing=session a program signs its request, and a page shows a ticket."""
    service = await serve(METHODS, signing="session", use_cookies=True, secure_cookies=False)
    made = await service.result("account.create", {"user_id": "ada", "password": "correct horse"})
    session, key = made["session_id"], made["key"]
    client = documented_client()
    signed = client.signed_headers(session, key, "GET", url_of("own:ada"), "application/json", b"")
    async with streaming(service, "own:ada", headers=signed) as stream:
        await stream.event()
    cookie = {"Cookie": f"toto-session={session}"}
    for headers, code in [(signed, 1008), ({"x-toto-session-id": session}, 1008), (cookie, 1004)]:
        assert await status(service, "own:ada", headers=headers) == (401, {"code": code, "value": ANY}), code
    async with Client(str(service.client.make_url("/service")), signing="session") as caller:
        await caller.login("ada", "correct horse")
        ticket = (await caller.call("events.ticket"))["ticket"]
    async with streaming(service, "own:ada", ticket=ticket) as stream:
        await stream.event()
    await gone(service)
