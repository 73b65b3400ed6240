"""Clients that bring a service into a state, wait for its shutdown, and report in a word what they got."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp

from torture.clients import Broken, Response, connect

BIG = 32 * 2**20
"""Bytes of a response that fits into no buffer."""
PAUSE = 0.05
"""Seconds between two requests of a client that sends one after another."""

MARK = """import os

def mark():
    descriptor = os.open("marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"!")
    os.close(descriptor)

def goes_on():
    return not os.path.exists("stopping")
"""
STOPPING = "stopping"
"""The file that is there when the service is about to be stopped. The seconds of a call begin then, so that
it is not over before, however long the other clients take to be ready."""
METHODS = {
    "__init__": "from toto_aio.methods import account",
    "_mark": MARK,
    "wait": """import asyncio
from methods._mark import goes_on, mark

async def invoke(handler, parameters):
    mark()
    while "seconds" in parameters and goes_on():
        await asyncio.sleep(0.02)
    await asyncio.sleep(parameters.get("seconds", 0))
""",
    "thread": """import time
from methods._mark import goes_on, mark

def invoke(handler, parameters):
    mark()
    while goes_on():
        time.sleep(0.02)
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

ANSWERED, ERROR, CUT_OFF, TOLD_TO_CLOSE, REFUSED, DROPPED = (
    "answered",
    "error {}",
    "cut off",
    "told to close",
    "refused",
    "DROPPED",
)
"""What a client gets: ``TOLD_TO_CLOSE`` is a response with ``Connection: close``; ``DROPPED`` is a request
on a connection that the client was not told to close."""

Client = Callable[["Target"], Coroutine[Any, Any, str]]


class Target:
    """The service that the clients connect to, and what the drill needs to know about them."""

    def __init__(self, port: int, session: str = "") -> None:
        self.port = port
        self.session = session
        self.ready = 0
        """The number of clients that are in the state in which the service is to be stopped."""
        self.marks = 0
        """The number of marks that there must be by then."""
        self.stopping = asyncio.Event()
        """Set when the service has been signalled to shut down."""
        self.stopped = asyncio.Event()
        """Set when it has ended."""

    def request(self, method: str, **parameters: Any) -> bytes:
        """The bytes of a call."""
        body = json.dumps({"method": method, "parameters": parameters})
        return (
            "POST /service HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"{f'x-toto-session-id: {self.session}' if self.session else 'x-no: session'}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


async def log_in(target: Target) -> str:
    """Create an account; returns the id of its session."""
    connection = await connect(target.port)
    request = target.request("account.create", user_id="ada", password="correct horse")  # noqa: S106
    response = await connection.ask(request)
    connection.close()
    return str(json.loads(response.body)["result"]["session_id"])


def call(method: str, *, marks: bool = True, **parameters: Any) -> Client:
    """A call that is in progress when the service is stopped."""

    async def client(target: Target) -> str:
        connection = await connect(target.port)
        target.marks += marks
        target.ready += 1
        try:
            response = await connection.ask(target.request(method, **parameters))
        except Broken:
            return CUT_OFF
        finally:
            connection.close()
        return _outcome(response)

    return client


def call_and_another(seconds: float) -> Client:
    """A call of some seconds, and another on the same connection as soon as the first has its response."""

    async def client(target: Target) -> str:
        connection = await connect(target.port)
        target.marks += 1
        target.ready += 1
        try:
            response = await connection.ask(target.request("wait", seconds=seconds))
        except Broken:
            return CUT_OFF
        try:
            return (
                TOLD_TO_CLOSE if response.closes else _outcome(await connection.ask(target.request("wait")))
            )
        except Broken:
            return DROPPED
        finally:
            connection.close()

    return client


async def idle(target: Target) -> str:
    """A connection that has had a response, and is idle."""
    connection = await connect(target.port)
    await connection.ask(target.request("echo"))
    target.ready += 1
    try:
        while not connection.closed:  # noqa: ASYNC110  # for one loop an event is not worth it
            await asyncio.sleep(PAUSE)
    finally:
        connection.close()
    return CUT_OFF


async def one_after_the_other(target: Target) -> str:
    """A connection with request after request, until a response has ``Connection: close``."""
    connection = await connect(target.port)
    target.ready += 1
    try:
        while not (await connection.ask(target.request("echo"))).closes:  # noqa: ASYNC110  # it is a pause
            await asyncio.sleep(PAUSE)
    except Broken:
        return DROPPED
    finally:
        connection.close()
    return TOLD_TO_CLOSE


async def newcomer(target: Target) -> str:
    """A client that keeps connecting after the shutdown began, for as long as that is possible."""
    target.ready += 1
    await target.stopping.wait()
    while True:
        await asyncio.sleep(PAUSE)
        try:
            connection = await connect(target.port)
        except OSError:
            return REFUSED
        try:
            await connection.ask(target.request("echo"))
        except Broken:
            return DROPPED
        finally:
            connection.close()


async def half_a_request(target: Target) -> str:
    """A client that does not send the whole request that it announced."""
    connection = await connect(target.port)
    request = target.request("echo")
    target.ready += 1
    try:
        return _outcome(await connection.ask(request[:-5]))
    except Broken:
        return CUT_OFF
    finally:
        connection.close()


async def slow_reader(target: Target) -> str:
    """A client that requests a large response, and does not read it while the service is running."""
    connection = await connect(target.port)
    connection.transport.pause_reading()
    connection.transport.write(target.request("big"))
    target.marks += 1
    target.ready += 1
    try:
        await target.stopped.wait()
    finally:
        connection.close()
    return CUT_OFF


def socket(method: str = "", **parameters: Any) -> Client:
    """An open WebSocket, with a call in progress if a method is named."""

    async def client(target: Target) -> str:
        url = f"http://127.0.0.1:{target.port}/service/websocket"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as opened:
            if method:
                await opened.send_json({"id": 1, "method": method, "parameters": parameters})
                target.marks += 1
            target.ready += 1
            async for _ in opened:  # responses, until it is closed
                pass
            return str(opened.close_code)

    return client


def _outcome(response: Response) -> str:
    body = json.loads(response.body)
    return ERROR.format(body["error"]["code"]) if "error" in body else ANSWERED
