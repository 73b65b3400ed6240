"""The number of function calls for a request, counted by cProfile; it is the same on every machine.

    python -m benchmarks.calls

The service runs as in production. One of its methods starts the count, another ends it.
"""

from __future__ import annotations

import argparse
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.figures import Goal, Report, Spread, markdown
from benchmarks.harness import BODY, ECHO, Command, Failure, Server, check, print_table, serving, toto_aio
from toto_aio.settings.options import FIELDS

OURS, GENERAL = "toto_aio", "toto_aio, general path"
REQUESTS = 500
COUNT = """import cProfile

running = []

async def invoke(handler, parameters):
    if parameters["count"]:
        running.append(cProfile.Profile())
        running[0].enable()
        return None
    running[0].disable()
    return sum(entry.callcount for entry in running.pop().getstats())
"""


def run(_: argparse.Namespace | None = None) -> Report:
    """Count the calls on each path."""
    commands: dict[str, Command] = {OURS: service}
    if "fast_path" in FIELDS:
        commands[GENERAL] = lambda folder: service(folder, "--fast-path=false")
    with serving(commands) as servers:
        counted = {name: count(server) for name, server in servers.items()}
    bars = {name: Spread(value, value, value) for name, value in counted.items()}
    general = bars.get(GENERAL, bars[OURS])
    goals = [Goal(8, "function calls per request, general path", 125, general, at_most=True)]
    if GENERAL in bars:
        goals.append(Goal(8, "function calls per request, fast path", 45, bars[OURS], at_most=True))
    rows = [[name, f"{value:.0f}"] for name, value in counted.items()]
    return Report(
        "calls", "Function calls per request", bars, markdown(["", "function calls per request"], rows), goals
    )


def service(folder: Path, *options: str) -> list[str]:
    """This service, with a method that counts."""
    return toto_aio(folder, *options, methods={"echo": ECHO, "count": COUNT})


def count(server: Server) -> float:
    """The function calls of one request."""
    check(server)
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=30) as connection:

        def ask(body: str) -> bytes:
            # Head and body are sent in one write, as wrk and aiohttp's client do.
            head = f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {len(body)}\r\n"
            connection.sendall(f"{head}Content-Type: application/json\r\n\r\n{body}".encode())
            return connection.recv(65536).partition(b"\r\n\r\n")[2]

        for _ in range(REQUESTS):
            ask(BODY)
        ask(json.dumps({"method": "count", "parameters": {"count": True}}))
        for _ in range(REQUESTS):
            ask(BODY)
        response = json.loads(ask(json.dumps({"method": "count", "parameters": {"count": False}})))
    if "result" not in response:
        raise Failure(f"{server.name} responded {response!r}")
    return float(response["result"]) / REQUESTS


if __name__ == "__main__":
    print_table(run, "How many functions are called for a request.")
