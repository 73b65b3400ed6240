"""``toto-aio accounts`` beside a service that runs: what it does counts there at once."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

import tests.support.servers.redis
from tests.support.limits import WATCHDOG, limits
from tests.support.servers import Server
from tests.support.service import Serve
from toto_aio import Handler
from toto_aio.invocation import roles
from toto_aio.websocket import session_watch


@roles("admin")
async def rule(handler: Handler, parameters: dict[str, Any]) -> str:
    """Return what is only for admins."""
    return "ruled"


async def test_open_sockets(serve: Serve, servers: Callable[[str], Server], tmp_path: Path) -> None:
    """Another process gives and takes a role from the next call on, and ends sessions with their sockets."""
    events = tests.support.servers.redis.fresh_url(servers("redis"))
    options = {"database": f"sqlite:///{tmp_path}/toto.db", "events": events}
    # An end that no event tells would never be noticed.
    with limits(session_watch, LOOKUP_INTERVAL=WATCHDOG * 10):
        services = [await serve({"rule": rule}, **options) for _ in range(2)]
        for number, given in enumerate((["end", "ada"], ["password", "ada"], ["delete", "ada", "--yes"])):
            ada = await services[0].create("ada" if number == 0 else f"ada{number}")
            given[1] = "ada" if number == 0 else f"ada{number}"
            sockets = [
                await service.client.ws_connect("/service/websocket", headers={"x-toto-session-id": ada})
                for service in services
            ]
            if number == 0:
                for change, result in ((["admin"], "ruled"), (["admin", "--remove"], None)):
                    await accounts(tmp_path, options, "roles", "ada", *change)
                    assert [await call(socket) for socket in sockets] == [result] * 2, change
            await accounts(tmp_path, options, *given)
            for socket in sockets:
                message = await socket.receive(timeout=WATCHDOG)
                assert message.type is aiohttp.WSMsgType.CLOSE, (given, message)


async def call(socket: aiohttp.ClientWebSocketResponse) -> Any:
    """The result of the method for admins; None if it is refused."""
    await socket.send_json({"id": 1, "method": "rule"})
    return (await socket.receive_json(timeout=WATCHDOG)).get("result")


async def accounts(folder: Path, options: dict[str, str], *arguments: str) -> None:
    """Run the command, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "toto_aio",
        "accounts",
        *arguments,
        *(f"--{name}={value}" for name, value in options.items()),
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("TOTO_AIO_")},
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate(b"battery staple\n")
    assert process.returncode == 0, said
    assert b"within 30 seconds" not in said
