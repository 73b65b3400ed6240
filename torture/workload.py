"""All kinds of clients, which use a service repeatedly and check what they get."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Self
from urllib.parse import urlsplit

from torture.drill import Failure
from toto_aio.client import Client
from toto_aio.exceptions import TotoException

METHODS = {
    "echo": "async def invoke(handler, parameters):\n    return parameters\n",
    "fail": 'async def invoke(handler, parameters):\n    raise RuntimeError("as it was asked for")\n',
    "note": """from toto_aio.invocation import authenticated

@authenticated
async def invoke(handler, parameters):
    handler.session["notes"] = [*(handler.session["notes"] or [])[-9:], parameters["text"]]
    await handler.session.save()
    return len(handler.session["notes"])
""",
    "wait": """from toto_aio.invocation import asynchronous

@asynchronous
async def invoke(handler, parameters):
    handler.register_event_handler(parameters["name"], handler.respond)
""",
    "listen": """async def invoke(handler, parameters):
    handler.register_event_handler(parameters["name"], handler.send_message)
""",
    "tell": """async def invoke(handler, parameters):
    await handler.events.send(parameters["name"], parameters["text"])
""",
    "slow": """import asyncio
from toto_aio.invocation import cancellable

@cancellable
async def invoke(handler, parameters):
    await asyncio.sleep(5)
""",
}
ACCOUNT = "".join(
    f"import toto_aio.methods.account.{name} as {name}\n"
    for name in ("create", "login", "logout", "sessions")
)
"""The package ``methods.account``."""
PASSWORD = "correct horse battery"  # noqa: S105  # of accounts that live as long as a drill
ENCODINGS = ("json", "msgpack", "bson")
BATCH = 50
TELL_AGAIN = 0.02
"""Seconds until an event is sent again, in case a client was not yet waiting for it."""
LEAVERS_SEND = (
    b'POST /service/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n{"parameters":{}}',
    b"POST /service HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{",
    b"GET /service/websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"\0 no HTTP at all\r\n\r\n",
    b"",
)
"""What is sent by clients that then disconnect."""


async def call(client: Client, number: int) -> None:
    """Calls in each encoding, one of them of an unknown method, and sometimes one that fails."""
    for encoding in ENCODINGS:
        async with Client(client.url, encoding=encoding) as other:  # on its own connection
            for _ in range(5):
                given = {"n": number, "text": "x" * random.randrange(2000)}  # noqa: S311  # no secret
                expect(await other.call("echo", given), given)
    for method, code in (("no.such.method", 1001), *((("fail", 1000),) if random.random() < 0.05 else ())):  # noqa: S311
        try:
            await client.call(method)
        except TotoException as exc:
            expect(exc.code, code)
        else:
            raise Failure(f"{method} succeeded")


async def log_in(client: Client, number: int) -> None:
    """A login, some work in the session, and a logout; the first time, the account is created."""
    user = client.another()
    name = f"user{number}"
    try:
        await user.login(name, PASSWORD)
    except TotoException:
        await user.create_account(name, PASSWORD)
    for _ in range(5):
        await user.call("note", {"text": name})
    await user.logout()


async def batch(client: Client, number: int) -> None:
    """Many calls at the same time."""
    entry = {"method": "echo", "parameters": {"n": number}}
    responses = await client.batch({str(number): entry for number in range(BATCH)})
    expect(list(responses.values()), [{"n": number}] * BATCH)


async def talk(client: Client, number: int) -> None:
    """A socket: calls, and its own event."""
    async with client.socket() as socket:
        for n in range(5):
            expect(await socket.call("echo", {"n": n}), {"n": n})
        name = f"socket {number}"
        await socket.call("listen", {"name": name})
        await socket.call("tell", {"name": name, "text": name})
        async for message in socket:
            expect(message, name)
            break


async def wait(client: Client, number: int) -> None:
    """A call that waits for an event, and others that send it until it has arrived."""
    name = f"room {number}"
    waiting = asyncio.create_task(client.call("wait", {"name": name}), name="waiting")
    try:
        while not waiting.done():
            await client.call("tell", {"name": name, "text": name})
            await asyncio.wait([waiting], timeout=TELL_AGAIN)
        expect(await waiting, name)
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def leave(client: Client, number: int) -> None:
    """A client that disconnects without notice, in the middle of a call, of a body, or after nonsense."""
    where = urlsplit(str(client.url))
    for sent in LEAVERS_SEND:
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(sent)
        await asyncio.sleep(0.01)
        writer.transport.abort()


def expect(got: object, wanted: object) -> None:
    """Raise ``Failure`` unless they are equal."""
    if got != wanted:
        raise Failure(f"the response was {got!r:.200}, and not {wanted!r:.200}")


Visit = Callable[[Client, int], Awaitable[None]]
KINDS: dict[str, tuple[Visit, int, float]] = {
    "calls": (call, 4, 0.02),
    "logins": (log_in, 2, 0.5),
    "batches": (batch, 2, 0.1),
    "sockets": (talk, 4, 0.1),
    "events": (wait, 4, 0.1),
    "disconnects": (leave, 2, 0.2),
}
"""What a client does, how many clients do it, and the mean seconds between two uses."""


class Workload:
    """Clients of every kind, for the duration of the block: ``async with Workload(url, uses)``.

    ``uses`` counts what was done. The end of the block raises what went wrong.
    """

    def __init__(self, url: str, uses: Counter[str]) -> None:
        self._url = url
        self._uses = uses
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._client = await Client(self._url).__aenter__()
        self._tasks = [
            asyncio.create_task(self._run(kind, number), name=f"{kind} {number}")
            for kind, (_, count, _) in KINDS.items()
            for number in range(count)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()
        for task, result in zip(self._tasks, results, strict=True):
            if result is not None:
                raise Failure(f"{task.get_name()}: {type(result).__name__}: {result}") from result

    async def _run(self, kind: str, number: int) -> None:
        use, _, pause = KINDS[kind]
        while not self._over.is_set():
            await use(self._client, number)
            self._uses[kind] += 1
            try:
                await asyncio.wait_for(self._over.wait(), random.uniform(0, 2 * pause))  # noqa: S311
            except TimeoutError:
                continue
