"""Nothing that an anonymous client sends holds the loop: others wait for 1 MiB of it less than 50 ms.

    python -m torture.hostile [--rounds N] [--only TEXT]

A service in its own process receives the worst inputs for each parser (``hostile_inputs.py``), one after the
other, while a client in this process calls an echo without a pause and notes how long each call waits. The
CPU time that an input costs is that of the service's process, from ``/proc``, without what the echo cost.

Neighbours on the machine make an echo wait too, but not in each round: of the longest waits in all rounds of
an input the shortest counts, and so does the least CPU time. After each input the service must serve the next
request.

The control decodes MessagePack without scanning its keys. Unless the drill finds that it holds its loop, it
proves nothing and fails.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from torture.drill import Failure, progress, run_drill
from torture.hostile_inputs import MSGPACK_BODIES, Frames, Input, Requests, frame, inputs, request
from torture.services import Service, serving
from toto_aio.codecs.limits import LARGE

WAIT = 50.0
"""Milliseconds that another client may wait for an input."""
CPU = 500.0
"""Milliseconds of CPU time that an input may cost."""
INPUT_LIMIT = 120.0
"""Seconds until an input is given up."""
IDLE = 0.3
"""Seconds that the cost of the echo alone is measured."""

OURS = "toto_aio"
CONTROL = "control, keys are checked after decoding"
COLLIDING = "MessagePack: colliding keys"
METHODS = {
    "echo": "async def invoke(handler, parameters):\n    return parameters\n",
    "read": "from toto_aio.invocation import safe\n\n@safe\nasync def invoke(handler, parameters):\n"
    "    return parameters\n",
    "address": "async def invoke(handler, parameters):\n    return handler.client.address\n",
    "session": "from toto_aio.invocation import optionally_authenticated\n\n@optionally_authenticated\n"
    "async def invoke(handler, parameters):\n    return None\n",
    "control": """
from dataclasses import replace

import msgspec
from toto_aio.codecs.msgpack_codec import MSGPACK
from toto_aio.codecs.plain import PLAIN_TYPES, validate
from toto_aio.http.service import SERVICE

def decode(body):
    value = msgspec.msgpack.decode(body)
    validate(value, PLAIN_TYPES)
    return value

def steps(body):
    yield
    return decode(body)

def start(connection, application):
    naive = replace(MSGPACK, decode=decode, steps=steps)
    application[SERVICE]._codecs[MSGPACK.content_type] = naive

async def invoke(handler, parameters):
    return None
""",
}
OPTIONS = (
    "--database=memory://",
    "--trusted-proxies=127.0.0.1,::1",
    "--use-cookies=true",
    "--secure-cookies=false",
)


@dataclass(slots=True)
class Result:
    """What an input cost a service, in milliseconds; one figure for each round."""

    service: str
    name: str
    flood: bool = False
    """Whether it is many calls, which cost what they cost."""
    outcome: str = ""
    """How the service responded: the statuses, or how the connection ended."""
    waits: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def wait(self) -> float:
        """The longest wait of another client, in the round with the least noise.

        Nothing holds the loop for longer than it computes: what is beyond that is the machine's doing.
        """
        return min(map(min, self.waits, self.cpu))

    @property
    def cost(self) -> float:
        """The CPU time."""
        return min(self.cpu)

    @property
    def holds(self) -> bool:
        """Whether the input holds the loop, or costs too much."""
        return self.wait > WAIT or (self.cost > CPU and not self.flood)


class Echo(threading.Thread):
    """A client that calls an echo without a pause, and keeps the longest wait."""

    CALL = request("POST /service", ["Content-Type: application/json"], b'{"method":"echo"}')

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._over = threading.Event()
        self.longest = 0.0
        self.calls = 0
        self.failed = ""

    def run(self) -> None:
        """Call until it is stopped."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), INPUT_LIMIT) as connection:
                while not self._over.is_set():
                    start = time.perf_counter()
                    connection.sendall(self.CALL)
                    if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
                        raise Failure("an echo failed")
                    self.longest = max(self.longest, time.perf_counter() - start)
                    self.calls += 1
                    time.sleep(0.001)
        except (OSError, Failure) as exc:
            self.failed = f"{type(exc).__name__}: {exc}"

    def stop(self) -> None:
        """Stop calling. Raises ``Failure`` if a call failed."""
        self._over.set()
        self.join()
        if self.failed:
            raise Failure(f"another client was not served: {self.failed}")


def main() -> None:
    """Run the drill."""
    run_drill("hostile", lambda: measure(*read_options()), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> tuple[int, str]:
    """Parse the command line: rounds, and a text that the names of inputs have."""
    parser = argparse.ArgumentParser(description="Nothing anonymous holds the loop.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default %(default)s")
    parser.add_argument("--only", default="", metavar="TEXT", help="the inputs whose name has this text")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    return options.rounds, options.only


def measure(
    rounds: int, only: str = "", makers: Mapping[str, Callable[[], Input]] | None = None
) -> list[Result]:
    """What each input costs the service, and what one of them costs the control."""
    makers = inputs() if makers is None else makers
    results = []
    with tempfile.TemporaryDirectory() as folder:
        with serving(Path(folder, "ours"), METHODS, *OPTIONS) as service:
            for name, make in makers.items():
                if only in name:
                    results.append(measured(service, Result(OURS, name), make(), rounds))
                    progress(line(results[-1]))
        startup = "--startup-function=methods.control.start"
        with serving(Path(folder, "control"), METHODS, *OPTIONS, startup) as service:
            body = MSGPACK_BODIES["colliding keys"](100_000)
            sent = Requests([request("POST /service", ["Content-Type: application/msgpack"], body)])
            results.append(measured(service, Result(CONTROL, COLLIDING), sent, rounds))
            progress(line(results[-1]))
    return results


def measured(service: Service, result: Result, sent: Input, rounds: int) -> Result:
    """Send an input in each round. Raises ``Failure`` if the service does not serve the next request."""
    result.flood = sent.flood
    for _ in range(rounds):
        echo = Echo(service.port)
        echo.start()
        time.sleep(IDLE / 2)
        idle_calls, idle_cpu, start = echo.calls, cpu(service), time.perf_counter()
        time.sleep(IDLE)
        per_call = (cpu(service) - idle_cpu) / max(1, echo.calls - idle_calls)
        echo.longest, calls, used = 0.0, echo.calls, cpu(service)
        start = time.perf_counter()
        try:
            outcome = asyncio.run(asyncio.wait_for(send(service.port, sent), INPUT_LIMIT))
        except TimeoutError:
            outcome = "no response"
        time.sleep(0.05)
        result.cpu.append(max(0.0, cpu(service) - used - per_call * (echo.calls - calls)))
        # While it is held, no echo ends: the one in progress counts.
        result.waits.append(max(echo.longest * 1000, 0.0))
        echo.stop()
        result.waits[-1] = max(result.waits[-1], echo.longest * 1000)
        result.outcome = outcome
        if time.perf_counter() - start > INPUT_LIMIT / 4:
            break
    check = asyncio.run(send(service.port, Requests([Echo.CALL])))
    if check != "200":
        raise Failure(f"after {result.name!r} the next request got {check}")
    return result


def cpu(service: Service) -> float:
    """Milliseconds of CPU time that the processes of a service have used (schedstat, in nanoseconds)."""
    used = 0
    for pid in {service.pid, *service.workers()}:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                used += int((task / "schedstat").read_text().split()[0])
    return used / 1e6


async def send(port: int, sent: Input) -> str:
    """Send an input; returns how the service responded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await (
            post(reader, writer, sent) if isinstance(sent, Requests) else talk(reader, writer, sent)
        )
    except (ConnectionError, asyncio.IncompleteReadError):
        return "closed"
    finally:
        writer.transport.abort()


async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Requests) -> str:
    """Send requests; returns the statuses of the responses."""
    statuses: dict[str, None] = {}
    if sent.piped:
        writer.write(b"".join(sent.requests))
    for each in sent.requests:
        if not sent.piped:
            writer.write(each)
        head = await reader.readuntil(b"\r\n\r\n")
        statuses[head.split()[1].decode()] = None
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        if b"connection: close" in head.lower() and each is not sent.requests[-1] and not sent.piped:
            writer.transport.abort()
            return f"{', '.join(statuses)}, closed"
    return ", ".join(statuses)


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Frames) -> str:
    """Send frames over a new socket, and a call after them; returns how it ended."""
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    writer.write(request("GET /service/websocket", [*upgrade, "Sec-WebSocket-Key: " + "A" * 22 + "=="]))
    await reader.readuntil(b"\r\n\r\n")
    # Large frames are decoded one after the other, so the last response is that to the last frame.
    writer.write(
        sent.frames + frame(1, b'{"id":"last","method":"echo","x":"%s"}' % bytes(LARGE).hex().encode())
    )
    outcome = "results"
    while True:
        first, length = await reader.readexactly(2)
        if length >= 126:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
        payload = await reader.readexactly(length)
        if first & 15 == 8:
            return f"closed with {int.from_bytes(payload[:2], 'big')}"
        if b"error" in payload[:20]:
            outcome = "errors"
        if payload.startswith(b'{"id":"last"'):
            return outcome


def table(results: Iterable[Result]) -> str:
    """The results as a table."""
    lines = [
        "| input of 1 MiB | service | response | CPU, ms | longest wait of others, ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *map(line, results)])


def line(result: Result) -> str:
    """The row of a result."""
    figures = f"{result.cost:.0f} | {result.wait:.0f}"
    mark = " **" if result.holds else ""
    return f"| {result.name} | {result.service} | {result.outcome} | {figures}{mark} |"


def verdict(results: Sequence[Result]) -> tuple[bool, str]:
    """Whether no input held the service, and the control was found."""
    if not all(each.holds for each in results if each.service == CONTROL):
        return False, "FAILED: the control held its loop, and the drill did not notice: it proves nothing."
    held = [each.name for each in results if each.service == OURS and each.holds]
    if held:
        return False, f"FAILED: {len(held)} inputs hold the loop or cost too much: {'; '.join(held)}."
    inputs_sent = sum(each.service == OURS for each in results)
    return True, f"PASSED: none of {inputs_sent} inputs holds the loop, and the control was found."


if __name__ == "__main__":
    main()
