"""Tests of the logs of ``serve``: text or JSON lines, the access log, and no tracebacks for noise."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from yarl import URL

from toto_aio.server.logs import FORMATS

METHOD = "async def invoke(handler, parameters):\n    return parameters['a'] / parameters['b']\n"


@dataclass
class Served:
    """A service in its own process; ``lines`` are those of its stderr, complete at the end."""

    pid: int
    url: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Its URL."""
        return urlsplit(self.url).port or 0

    @property
    def text(self) -> str:
        """Its lines."""
        return "\n".join(self.lines)


@asynccontextmanager
async def served(folder: Path, *options: str, **environ: str) -> AsyncIterator[Served]:
    """The command ``serve`` with a method ``divide``, until it has shut down gracefully."""
    (folder / "methods").mkdir()
    (folder / "methods" / "divide.py").write_text(METHOD)
    command = [sys.executable, "-m", "toto_aio", "serve", "--port=0", "--database=memory://", *options]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stderr=asyncio.subprocess.PIPE, env={**os.environ, **environ}
    )
    service = Served(process.pid)
    try:
        assert process.stderr is not None
        while not service.url:
            line = (await process.stderr.readline()).decode()
            assert line, service.text
            service.lines.append(line.rstrip())
            service.url = "".join(re.findall(r'Serving on ([^\s"]+)', line))
        yield service
    finally:
        process.terminate()
        service.lines += (await process.communicate())[1].decode().splitlines()
    assert process.returncode == 0


async def send(service: Served, data: bytes) -> bytes:
    """The server's response to some bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(data)
    answer = await reader.read(1000)
    writer.close()
    return answer


async def call(service: Served, path: str, parameters: Any) -> None:
    """A call over HTTP."""
    url = URL(f"{service.url}/{path}", encoded=True)
    async with aiohttp.ClientSession() as client, client.post(url, json=parameters) as response:
        await response.read()


async def test_text(tmp_path: Path) -> None:
    """A failed call logs a line, an unexpected error its traceback too; a successful call logs nothing."""
    async with served(tmp_path) as service:
        await call(service, "divide", {"a": 1, "b": 2})
        await call(service, "divide", {"a": 1, "b": 0})
        await call(service, "no", {})
    text = service.text
    assert "ERROR toto_aio.calls: call failed: divide with 1000 [" in text
    assert "ZeroDivisionError" in text
    assert "INFO toto_aio.calls: call failed: unknown with 1001 [" in text
    assert text.count("toto_aio.calls") == 2


def test_a_forged_record() -> None:
    """No text in a record, whether message, argument or exception, begins a line or controls a terminal."""
    forged = "x\n2026-01-01 00:00:00,000 ERROR toto_aio.calls: forged\r\x1b[2J\u2028\u202e\x85\t"
    try:
        raise ValueError(forged)
    except ValueError as exc:
        exc_info = (type(exc), exc, exc.__traceback__)
    record = logging.LogRecord("a", logging.ERROR, "", 1, "said %s", (forged,), exc_info)
    first, *others = FORMATS["text"].format(record).split("\n")
    assert first.endswith("ERROR a: said x")
    assert len(others) > 4
    for line in others:
        assert line.startswith("    ")
        assert line.isprintable()
    assert any("forged\\r\\x1b[2J\\u2028\\u202e\\x85\\t" in line for line in others)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_is_not_unicode(log_format: str) -> None:
    """It is logged escaped, in a line that any stream can write, and doesn't cost the record."""
    record = logging.LogRecord("a", logging.ERROR, "", 1, "said %s", ("na\udcefve",), None)
    assert "said na\\udcefve" in FORMATS[log_format].format(record).encode().decode()


def test_text_in_any_language() -> None:
    """It is logged as it is."""
    record = logging.LogRecord("a", logging.INFO, "", 1, "naïve 日本語 \U0001f600", (), None)
    assert FORMATS["text"].format(record).endswith("INFO a: naïve 日本語 \U0001f600")


async def test_json_lines(tmp_path: Path) -> None:
    """Each line is an object with the fields of the call, including a traceback."""
    async with served(tmp_path, "--log-format=json", "--access-log=true") as service:
        await call(service, "divide?password=secret", {"a": 1, "b": 0})
        await send(service, b"\x16\x03\x01\x02\x00\r\n\r\n")
        await send(service, b"POST / HTTP/9.9.9\r\n\r\n")
    records = [json.loads(line) for line in service.lines]
    assert any(record["message"] == f"Serving on {service.url}" for record in records)
    assert all({"time", "level", "logger", "message"} <= set(record) for record in records)
    failed = next(record for record in records if record["logger"] == "toto_aio.calls")
    assert (failed["level"], failed["method"], failed["code"]) == ("ERROR", "divide", 1000)
    assert "ZeroDivisionError" in failed["exception"]
    access = next(record for record in records if record["logger"] == "toto_aio.access")
    assert (access["verb"], access["path"], access["status"]) == ("POST", "/service/divide", 200)
    assert access["size"] > 0
    assert "secret" not in service.text


@pytest.mark.parametrize("asked", [False, True])
async def test_access_log(tmp_path: Path, asked: bool) -> None:
    """With the option there is one line for each request, without its query; a line break in it adds none."""
    async with served(tmp_path, *(["--access-log=true"] if asked else [])) as service:
        await call(service, "divide?password=secret", {"a": 1, "b": 2})
        await call(service, "a%0Ab", {})
    text = service.text
    assert ("127.0.0.1 POST /service/divide 200 " in text) is asked
    assert ("POST /service/a%0Ab 200 " in text) is asked
    assert "secret" not in text


async def ping_and_leave(service: Served) -> None:
    """Open a socket, ping it, and break the connection before it has responded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(
        b"GET /service/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x89\x80\0\0\0\0" * 500)
    writer.transport.abort()


NOISE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nb d: c\r\n\r\n",
    b"\x00\x01\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
)


@pytest.mark.parametrize("fast", ["true", "false"])
async def test_noise_in_the_access_log(tmp_path: Path, fast: str) -> None:
    """Bytes that are not HTTP are a line with 400 each, without a traceback."""
    async with served(tmp_path, "--access-log=true", f"--fast-path={fast}") as service:
        for noise in NOISE:
            await send(service, noise)
    text = service.text
    assert "Traceback" not in text
    assert "ERROR" not in text
    assert len(re.findall(r"toto_aio.access: 127\.0\.0\.1 \S+ \S+ 400 \d+ bytes", text)) == len(NOISE)


async def test_noise_has_no_traceback(tmp_path: Path) -> None:
    """A request that is not HTTP logs at most a line, at level INFO."""
    async with served(tmp_path) as service:
        for noise in (*NOISE, b"GET /\r\n\r\n"):
            await send(service, noise)
        await send(service, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 10_000 + b"\r\n\r\n")
        head = b"POST /service HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nContent-Encoding: "
        for encoding in (b"gzip", b"deflate"):
            await send(service, head + encoding + b"\r\n\r\n0123456789")
        await ping_and_leave(service)
        await call(service, "divide", {"a": 1, "b": 2})
    text = service.text
    assert "Traceback" not in text
    assert "ERROR" not in text
    assert "INFO aiohttp.server: Error handling request from 127.0.0.1: " in text


async def test_no_session_id_in_the_access_log(tmp_path: Path) -> None:
    """Toto's clients write it into the path of a socket."""
    async with served(tmp_path, "--access-log=true") as service, aiohttp.ClientSession() as client:
        socket = await client.ws_connect(f"{service.url}/websocket/{'s3cret' * 6}")
        await socket.close()
        await asyncio.sleep(0.1)
    assert "GET /service/websocket/... 101 " in service.text
    assert "s3cret" not in service.text
