"""Differences of a few per cent: many short slices of load, in shuffled order, compared one by one.

``harness.load`` has wrk, whose slices last whole seconds. On a shared machine the cost of the same call
changes by half within a second. Short slices, right after one another, mostly meet the same conditions, and
the median of some hundred differences is steady. What it is worth is shown by a control: the same work under
a second name.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from math import sqrt
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from benchmarks.figures import Spread
from benchmarks.harness import CONNECTIONS, HEADERS, START_LIMIT, Failure, Server, progress

SLICE = 0.02
"""Seconds of a slice."""


class Load:
    """A request to a server, sent on each of its connections in turn, before the responses are read.

    ``calls`` are in one request. Every response must be as long as the first, and begin and end as it does;
    what that should say is up to the caller.
    """

    def __init__(
        self,
        server: Server,
        body: str,
        headers: Mapping[str, str] = HEADERS,
        *,
        calls: int = 1,
        connections: int = CONNECTIONS,
    ) -> None:
        where = urlsplit(server.url)
        fields = {"Host": where.netloc, "Content-Length": str(len(body.encode())), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._request = f"POST {where.path} HTTP/1.1\r\n{lines}\r\n{body}".encode()
        self._server = server
        self._calls = calls
        self._sockets: list[socket.socket] = []
        self._exit = ExitStack()
        with self._exit as stack:
            for _ in range(connections):
                one = socket.create_connection((where.hostname or "", where.port or 80), timeout=START_LIMIT)
                self._sockets.append(stack.enter_context(one))
            self.first = self._first()
            """The response to a first request."""
            self._exit = stack.pop_all()
        self._status, self._end = self.first[:15], self.first.partition(b"\r\n\r\n")[2][-8:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit.close()

    def slice(self, seconds: float = SLICE) -> float:
        """The CPU microseconds that a call costs the server, measured for some time."""
        calls, ends = 0, time.perf_counter() + seconds
        before = self._cpu_ns()
        while calls == 0 or time.perf_counter() < ends:
            self._round()
            calls += len(self._sockets) * self._calls
        return (self._cpu_ns() - before) / 1000 / calls

    def _cpu_ns(self) -> int:
        """What the server has used, once it sleeps.

        Of a thread that runs, /proc shows what it had used at the last tick of the kernel, up to 4 ms ago.
        """
        stat = Path(f"/proc/{self._server.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] == "R":
            time.sleep(0.0001)
        return self._server.cpu_ns()

    def _round(self) -> None:
        for one in self._sockets:
            one.sendall(self._request)
        size = len(self.first)
        for one in self._sockets:
            got = one.recv(size)
            while len(got) < size and (more := one.recv(size - len(got))):
                got += more
            if len(got) != size or not got.startswith(self._status) or not got.endswith(self._end):
                raise Failure(f"{self._server.name} responded {got!r} instead of {self.first!r}")

    def _first(self) -> bytes:
        """Wait for the end of a response whose length is not known yet."""
        one, got = self._sockets[0], b""
        one.sendall(self._request)
        while True:
            more = one.recv(65536)
            got += more
            head, _, body = got.partition(b"\r\n\r\n")
            sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if sizes and len(body) == int(sizes[0].partition(b":")[2]):
                return got
            if not more:
                raise Failure(f"{self._server.name} responded {got!r}, without an end")


def alternate(
    loads: Mapping[str, Load], rounds: int, seconds: float = SLICE, what: str = ""
) -> dict[str, list[float]]:
    """The costs of each load, one for each round; every round has them in a different order."""
    spent: dict[str, list[float]] = {name: [] for name in loads}
    order = list(loads)
    shown = time.monotonic()
    for number in range(1, rounds + 1):
        random.shuffle(order)
        for name in order:
            spent[name].append(loads[name].slice(seconds))
        if number == rounds or time.monotonic() - shown > 10:
            medians = ", ".join(f"{name} {median(values):.1f}" for name, values in spent.items())
            progress(f"round {number} of {rounds}{what and ', '}{what}: {medians}")
            shown = time.monotonic()
    return spent


def interval(values: Sequence[float]) -> Spread:
    """The median of some values, within an interval that has the true one in at least 95% of all cases.

    The ranks of its ends follow from the number of values, whatever their distribution. Of fewer than six
    values it is from the smallest to the largest, and less certain.
    """
    ordered = sorted(values)
    rank = max(0, int((len(ordered) - 1.96 * sqrt(len(ordered))) / 2 - 0.5))
    return Spread(ordered[rank], median(ordered), ordered[-1 - rank])


def differences(ones: Sequence[float], others: Sequence[float]) -> Spread:
    """How much more the ones cost, round by round."""
    return interval([one - other for one, other in zip(ones, others, strict=True)])


def ratios(ones: Sequence[float], others: Sequence[float]) -> Spread:
    """How many times as much the ones cost, round by round."""
    return interval([one / other for one, other in zip(ones, others, strict=True)])
