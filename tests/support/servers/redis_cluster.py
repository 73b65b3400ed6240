"""A Redis cluster of two primaries, each with half of the slots, and a replica of the first."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from redis import Redis

from tests.support.servers import START_LIMIT, Server, redis

OPTIONS = {"cluster_enabled": "yes", "cluster_node_timeout": "2000", **redis.REPLICATES_AT_ONCE}


@dataclass(frozen=True)
class Cluster:
    """The servers of a cluster."""

    primaries: tuple[Server, Server]
    replica: Server

    def clients(self) -> list[Any]:
        """A client of each server: of the primaries, as they were at the start, and of the replica."""
        return [Redis(port=server.port) for server in (*self.primaries, self.replica)]


@contextmanager
def server() -> Iterator[Cluster]:
    """A cluster whose servers know each other."""
    with ExitStack() as stack:
        one, other, replica = (stack.enter_context(redis.server(**OPTIONS)) for _ in range(3))
        cluster = Cluster((one, other), replica)
        clients = cluster.clients()
        for client, first in zip(clients[:2], (0, 8192), strict=True):
            client.execute_command("CLUSTER", "ADDSLOTS", *range(first, first + 8192))
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", first + 1)
        for client in clients:  # all of them, as gossip takes its time
            for server in (one, other, replica):
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", server.port)
        wait(lambda: all(client.execute_command("CLUSTER", "NODES").count(b":") == 3 for client in clients))
        clients[2].execute_command("CLUSTER", "REPLICATE", clients[0].execute_command("CLUSTER", "MYID"))
        wait(lambda: all(is_well(client) for client in clients))
        for client in clients:
            client.close()
        yield cluster


def fresh_url(cluster: Cluster) -> str:
    """The URL of a part of the cluster that is empty: a cluster has one database."""
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in cluster.primaries)
    return f"redis+cluster://{hosts}/0?prefix=t{next(_numbers)}"


def is_well(client: Any) -> bool:
    """Whether a server knows who has which slots, and of the replica."""
    ranges = client.execute_command("CLUSTER", "SLOTS")
    return b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO") and sorted(map(len, ranges)) == [
        3,
        4,
    ]


def wait(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + START_LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the cluster did not come up")
        time.sleep(0.02)


_numbers = itertools.count(1)
