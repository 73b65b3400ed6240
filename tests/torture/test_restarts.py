"""Tests of the drill of rolling restarts: its verdict, and a short run."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from torture.clients import Broken, Response, check_echo, connect, echo_request
from torture.restarts import GUNICORN, OURS, SOCKETS, Run, Size, measure, read_options, table, verdict

from torture import restarts

SIZE = Size(requests=1000, restarts=2, clients=10, processes=2)


def test_options() -> None:
    """The size is that of the promise, or the requested one."""
    assert read_options([]) == Size(1_000_000, 20, 120, 2)
    assert read_options(["--requests=7", "--processes=3"]).processes == 3
    with pytest.raises(SystemExit):
        read_options(["--processes=1"])


def test_verdict() -> None:
    """One dropped request fails the drill, as does a control that drops none."""
    assert verdict([run(), run(GUNICORN, dropped=3)])[0]
    passed, said = verdict([run(dropped=1), run(GUNICORN, dropped=3)])
    assert (passed, "1 of 1,001" in said) == (False, True)
    passed, said = verdict([run(), run(GUNICORN)])
    assert (passed, "proves nothing" in said) == (False, True)


def test_verdict_on_what_was_not_done() -> None:
    """Restarts that did not happen prove nothing, and sockets must be notified that the service goes away."""
    control = run(GUNICORN, dropped=3)
    assert not verdict([run(restarts=1), control])[0]
    assert not verdict([run(requests=999), control])[0]
    assert not verdict([run(closed={1001: 2 * SOCKETS, 1006: 1}), control])[0]
    assert not verdict([run(closed={1001: 1}), control])[0]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b'HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n{"result":{"n":2,"pid":123}}', "wrong response"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n{"result":{"n":1,"pid":', "within the response"),
        (b'HTTP/1.1 503 No\r\nContent-Length: 28\r\n\r\n{"result":{"n":1,"pid":123}}', "wrong response: 503"),
        (b"nonsense\r\n\r\n", "wrong bytes"),
        (b"", "end of file"),
    ],
)
async def test_a_client_takes_no_wrong_answer(response: bytes, reason: str) -> None:
    """It says what arrived instead of a response."""
    with pytest.raises(Broken, match=reason):
        check_echo(1, await received(response))


async def test_a_client_takes_a_right_answer() -> None:
    """A response can also tell the client to close the connection."""
    body = b'{"result":{"n":1,"pid":123}}'
    for head, closes in ((b"", False), (b"Connection: close\r\n", True)):
        response = await received(b"HTTP/1.1 200 OK\r\n%bContent-Length: 28\r\n\r\n%b" % (head, body))
        assert response == Response(200, closes, body)
        assert check_echo(1, response) == 123


async def received(response: bytes) -> Response:
    """What a client reads of this response, which arrives byte by byte."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}}")
        for byte in response:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        connection = await connect(server.sockets[0].getsockname()[1])
        try:
            return await connection.ask(echo_request(1))
        finally:
            connection.close()


def test_a_short_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart drops nothing. Whether gunicorn's does, in so few requests, is chance."""
    monkeypatch.setattr(restarts, "SLOW_SECONDS", 1.0)
    runs = measure(Size(requests=1000, restarts=1, clients=40, processes=2))
    passed, said = verdict([runs[0], run(GUNICORN, dropped=3)])
    assert passed, f"{said}\n{table(runs)}"
    assert all(0.5 <= share <= 1 for each in runs for share in each.spreads)
    assert len({line.count("|") for line in table(runs).splitlines() if line.startswith("|")}) == 1


def run(
    service: str = OURS,
    *,
    requests: int = 1000,
    dropped: int = 0,
    restarts: int = 2,
    closed: dict[int, int] | None = None,
) -> Run:
    """A run with these figures."""
    found = Run(service, SIZE, Counter({True: requests}), restarts=restarts)
    found.dropped.update({(True, "end of file"): dropped} if dropped else {})
    found.closed.update({1001: 2 * SOCKETS} if closed is None else closed)
    return found
