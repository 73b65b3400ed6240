"""Clients that bring a service into a state, wait for its end, and say in a word what they got."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp

from torture.clients import Answer, Broken, connect

BIG = 32 * 2**20
"""Bytes of an answer that no buffer takes."""
PAUSE = 0.05
"""Seconds between two requests of a client that sends them one after the other."""

MARK = """import os

def mark():
    descriptor = os.open("marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"!")
    os.close(descriptor)
"""
METHODS = {
    "__init__": "from toto_aio.methods import account",
    "_mark": MARK,
    "wait": """import asyncio
from methods._mark import mark

async def invoke(handler, parameters):
    mark()
    await asyncio.sleep(parameters.get("seconds", 0))
""",
    "thread": """import time
from methods._mark import mark

def invoke(handler, parameters):
    mark()
    time.sleep(parameters["seconds"])
""",
    "block": """import time
from methods._mark import mark

async def invoke(handler, parameters):
    mark()
    time.sleep(parameters["seconds"])
""",
    "poll": """from methods._mark import mark
from toto_aio.invocation import asynchronous

@asynchronous
async def invoke(handler, parameters):
    handler.register_event_handler("news", handler.respond)
    mark()
""",
    "big": f"""from methods._mark import mark
from toto_aio.invocation import raw_response

@raw_response
async def invoke(handler, parameters):
    mark()
    return bytes({BIG})
""",
    "echo": """async def invoke(handler, parameters):
    return parameters
""",
    "who": """from toto_aio.invocation import authenticated

@authenticated
async def invoke(handler, parameters):
    return handler.session.user_id
""",
    "query": """from methods._mark import mark

async def invoke(handler, parameters):
    mark()
    return await handler.connection.db.fetchval("SELECT 1")
""",
    "tell": """from methods._mark import mark

async def invoke(handler, parameters):
    mark()
    await handler.events.send("news", 1)
""",
}
"""The methods of the service. Those that wait leave a mark when they begin."""

ANSWERED, ERROR, CUT_OFF, TOLD_TO_LEAVE, REFUSED, DROPPED = (
    "answered",
    "error {}",
    "cut off",
    "told to leave",
    "refused",
    "DROPPED",
)
"""What a client gets: ``TOLD_TO_LEAVE`` is an answer that says ``Connection: close``, and ``DROPPED`` what
becomes of a request that a client sends on a connection which it was not told to leave."""

Client = Callable[["Place"], Coroutine[Any, Any, str]]


class Place:
    """Where a service is, and what those who wait for its clients have to know."""

    def __init__(self, port: int, session: str = "") -> None:
        self.port = port
        self.session = session
        self.ready = 0
        """Clients that are where they are to be when the service is told to end."""
        self.marks = 0
        """Marks that there must be then."""
        self.told = asyncio.Event()
        """The service has been told to end."""
        self.gone = asyncio.Event()
        """It has ended."""

    def request(self, method: str, **parameters: Any) -> bytes:
        """A call."""
        body = json.dumps({"method": method, "parameters": parameters})
        return (
            "POST /service HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"{f'x-toto-session-id: {self.session}' if self.session else 'x-no: session'}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


async def log_in(place: Place) -> str:
    """Make an account; the id of its session."""
    connection = await connect(place.port)
    request = place.request("account.create", user_id="ada", password="correct horse")  # noqa: S106
    answer = await connection.ask(request)
    connection.close()
    return str(json.loads(answer.body)["result"]["session_id"])


def call(method: str, *, marks: bool = True, **parameters: Any) -> Client:
    """One call, which is running when the service is told to end."""

    async def client(place: Place) -> str:
        connection = await connect(place.port)
        place.marks += marks
        place.ready += 1
        try:
            answer = await connection.ask(place.request(method, **parameters))
        except Broken:
            return CUT_OFF
        finally:
            connection.close()
        return _said(answer)

    return client


def call_and_another(seconds: float) -> Client:
    """A call that takes some seconds, and another on the same connection as soon as that is answered."""

    async def client(place: Place) -> str:
        connection = await connect(place.port)
        place.marks += 1
        place.ready += 1
        try:
            answer = await connection.ask(place.request("wait", seconds=seconds))
        except Broken:
            return CUT_OFF
        try:
            return TOLD_TO_LEAVE if answer.closes else _said(await connection.ask(place.request("wait")))
        except Broken:
            return DROPPED
        finally:
            connection.close()

    return client


async def idle(place: Place) -> str:
    """A connection that has had an answer, and waits."""
    connection = await connect(place.port)
    await connection.ask(place.request("echo"))
    place.ready += 1
    while not connection.closed:  # noqa: ASYNC110  # for one loop an event is not worth it
        await asyncio.sleep(PAUSE)
    return CUT_OFF


async def one_after_the_other(place: Place) -> str:
    """A connection with request after request, until an answer says that it will be closed."""
    connection = await connect(place.port)
    place.ready += 1
    try:
        while not (await connection.ask(place.request("echo"))).closes:  # noqa: ASYNC110  # it is a pause
            await asyncio.sleep(PAUSE)
    except Broken:
        return DROPPED
    finally:
        connection.close()
    return TOLD_TO_LEAVE


async def newcomer(place: Place) -> str:
    """A client that connects after the service has been told to end, for as long as that is possible."""
    place.ready += 1
    await place.told.wait()
    while True:
        await asyncio.sleep(PAUSE)
        try:
            connection = await connect(place.port)
        except OSError:
            return REFUSED
        try:
            await connection.ask(place.request("echo"))
        except Broken:
            return DROPPED
        finally:
            connection.close()


async def half_a_request(place: Place) -> str:
    """A client that does not send what it has said it would."""
    connection = await connect(place.port)
    request = place.request("echo")
    place.ready += 1
    try:
        return _said(await connection.ask(request[:-5]))
    except Broken:
        return CUT_OFF
    finally:
        connection.close()


async def slow_reader(place: Place) -> str:
    """A client that asks for much, and does not read it as long as the service is there."""
    connection = await connect(place.port)
    connection.transport.pause_reading()
    connection.transport.write(place.request("big"))
    place.marks += 1
    place.ready += 1
    await place.gone.wait()
    connection.close()
    return CUT_OFF


def socket(method: str = "", **parameters: Any) -> Client:
    """A WebSocket that is open, with a call that runs if a method is named."""

    async def client(place: Place) -> str:
        url = f"http://127.0.0.1:{place.port}/service/websocket"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as opened:
            if method:
                await opened.send_json({"id": 1, "method": method, "parameters": parameters})
                place.marks += 1
            place.ready += 1
            async for _ in opened:  # answers, until it is closed
                pass
            return str(opened.close_code)

    return client


def _said(answer: Answer) -> str:
    body = json.loads(answer.body)
    return ERROR.format(body["error"]["code"]) if "error" in body else ANSWERED
