"""Redis: Debian's ``redis-server``, configured to have every write on disk before it answers."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from redis.asyncio import Redis

from tests.support.limits import PATIENCE, WATCHDOG
from tests.support.servers import Server

DATABASES = 1000
"""How many databases the server has: each test gets one that has not been used."""

REPLICATES_AT_ONCE = {"repl_diskless_sync_delay": "0", "repl_ping_replica_period": "1"}
"""The options of a server whose replicas are not to wait for others."""


def server(**options: str) -> Server:
    """A server that is not started yet; ``options`` override those of the tests."""
    return Server(lambda directory, port: _command(directory, port, options), is_ready=_answers)


def fresh_url(server: Server) -> str:
    """The URL of an empty database."""
    return f"redis://127.0.0.1:{server.port}/{next(_numbers)}"


async def fail_to_save(server: Server, fails: bool) -> None:
    """Make the snapshots of a server fail, as on a full disk, so that it refuses writes; or succeed again."""
    snapshot = server.directory / "dump.rdb"
    async with Redis(port=server.port) as admin:
        if fails:
            await admin.config_set("save", "3600 1000")
            snapshot.mkdir()  # in place of the file
        else:
            snapshot.rmdir()
        await admin.bgsave()
        async with asyncio.timeout(WATCHDOG):
            while (await admin.info("persistence"))["rdb_last_bgsave_status"] != ("err" if fails else "ok"):
                await asyncio.sleep(0.01)


async def follow(replica: Server, primary: Server) -> None:
    """Make a server the replica of another one, and wait until it has everything."""
    async with Redis(port=replica.port) as client, Redis(port=primary.port) as other:
        await client.replicaof("127.0.0.1", str(primary.port))
        async with asyncio.timeout(PATIENCE):
            while (await other.info("replication")).get("slave0", {}).get("state") != "online":
                await asyncio.sleep(0.02)


def _command(directory: Path, port: int, others: Mapping[str, str]) -> Sequence[str]:
    options = {
        "bind": "127.0.0.1",
        "port": port,
        "unixsocket": directory / "socket",
        "dir": directory,
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "databases": DATABASES,
        **others,
    }
    program = str(options.pop("program", "redis-server"))
    words = ((f"--{name.replace('_', '-')}", str(value)) for name, value in options.items())
    return [program, *itertools.chain.from_iterable(words)]


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"  # it answers LOADING while it reads its data
    except OSError:
        return False


_numbers = itertools.count(1)
