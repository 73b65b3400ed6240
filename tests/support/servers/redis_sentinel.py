"""A Redis, its replica, and a Sentinel that watches them under the name ``toto``."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from tests.support.limits import PATIENCE, WATCHDOG
from tests.support.servers import Server, redis
from tests.support.servers.redis_cluster import wait

NAME = "toto"


@dataclass(frozen=True)
class Watched:
    """The servers."""

    servers: tuple[Server, Server]
    sentinel: Server

    def primary(self) -> Server:
        """The server that Sentinel names."""
        with Redis(port=self.sentinel.port) as client:
            port = _state(client)["port"]
        return next(server for server in self.servers if server.port == port)

    async def fail_over(self) -> None:
        """Make the replica the primary, and the other one its replica, as Sentinel does ten seconds later."""
        before = self.primary()
        with Redis(port=self.sentinel.port) as client, Redis(port=before.port) as server:
            old: Any = server
            old.ping()
            assert old.execute_command("WAIT", 1, int(WATCHDOG * 1000)) == 1  # until it has every write
            async with asyncio.timeout(PATIENCE):
                while not is_ready(client):  # it learns of the replica of an earlier failover in its own time
                    await asyncio.sleep(0.02)
            client.sentinel_failover(NAME)
            async with asyncio.timeout(WATCHDOG):
                while self.primary() is before:
                    await asyncio.sleep(0.02)
            old.replicaof("127.0.0.1", str(self.primary().port))
            for kind in ("normal", "pubsub"):
                old.client_kill_filter(_type=kind, skipme=True)


@contextmanager
def server() -> Iterator[Watched]:
    """Servers that know each other."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(redis.server(**redis.REPLICATES_AT_ONCE)) for _ in range(2))
        with Redis(port=other.port) as client:
            client.replicaof("127.0.0.1", str(one.port))
            wait(lambda: client.info("replication")["master_link_status"] == "up")
        sentinel = stack.enter_context(Server(lambda directory, port: _command(directory, port, one.port)))
        with Redis(port=sentinel.port) as client:
            wait(lambda: is_ready(client))
        yield Watched((one, other), sentinel)


def fresh_url(watched: Watched) -> str:
    """The URL of an empty database."""
    return f"redis+sentinel://127.0.0.1:{watched.sentinel.port}/{NAME}/{next(_numbers)}"


def is_ready(sentinel: Any) -> bool:
    """Whether Sentinel could make the replica the primary."""
    state = _state(sentinel)
    replicas = sentinel.sentinel_slaves(NAME)
    return state["flags"] == "master" and any(each["master-link-status"] == "ok" for each in replicas)


def _state(sentinel: Any) -> dict[str, Any]:
    state: dict[str, Any] = sentinel.sentinel_master(NAME)
    return state


def _command(directory: Path, port: int, primary: int) -> Sequence[str]:
    lines = (
        "bind 127.0.0.1",
        f"port {port}",
        f"dir {directory}",
        f"sentinel monitor {NAME} 127.0.0.1 {primary} 1",
        f"sentinel down-after-milliseconds {NAME} 60000",  # no test waits for it
        f"sentinel failover-timeout {NAME} 10000",
    )
    configuration = directory / "sentinel.conf"
    configuration.write_text("".join(f"{line}\n" for line in lines))
    return ["redis-server", str(configuration), "--sentinel"]


_numbers = itertools.count(1)
