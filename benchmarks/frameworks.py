"""What a call costs: the echo of this service, compared with the same echo on other frameworks.

    python -m benchmarks.frameworks [--cycles N] [--seconds N]

The base is written by hand on aiohttp. README.md describes how it is measured.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.environment import peers_python
from benchmarks.figures import Goal, Report, markdown, ratio, spread
from benchmarks.harness import (
    BODY,
    PARAMETERS,
    Command,
    check,
    cost,
    costs,
    in_turns,
    load,
    peer,
    print_table,
    progress,
    serving,
    toto_aio,
    write_script,
)

BASE = "hand-written aiohttp"
OURS, GENERAL = "toto_aio", "toto_aio, general path"
LEAST = "the least on aiohttp's Application"
JSON_RPC = "aiohttp-rpc"
RPC_BODY = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": PARAMETERS}, separators=(",", ":")
)
RPC_ANSWER = {"id": 1, "jsonrpc": "2.0", "result": PARAMETERS}
PEERS: dict[str, tuple[str, ...]] = {
    "ASGI without a framework, uvicorn": ("uvicorn", "echo_asgi.py", "bare"),
    "BlackSheep, uvicorn": ("blacksheep", "echo_asgi.py", "blacksheep"),
    "Sanic": ("sanic", "echo_sanic.py"),
    "Starlette, uvicorn": ("starlette", "echo_asgi.py", "starlette"),
    "Litestar, uvicorn": ("litestar", "echo_asgi.py", "litestar"),
    JSON_RPC: ("aiohttp_rpc", "echo_aiohttp_rpc.py"),
    "FastAPI, uvicorn": ("fastapi", "echo_asgi.py", "fastapi"),
    "Tornado": ("tornado", "echo_tornado.py"),
}
"""Each with the module that it needs, and its command."""
TIMES = {"Starlette, uvicorn": 2.2, "Litestar, uvicorn": 3.5, "FastAPI, uvicorn": 7, "Tornado": 10}
"""Goal 2: the cost of a framework as a multiple of this service's."""


def run(options: argparse.Namespace) -> Report:
    """Measure each server."""
    with serving(dict(commands())) as servers, tempfile.TemporaryDirectory() as folder:
        scripts = {
            name: write_script(Path(folder) / f"{number}.lua", RPC_BODY if name == JSON_RPC else BODY)
            for number, name in enumerate(servers)
        }
        turns = {
            name: partial(load, server, scripts[name], options.seconds) for name, server in servers.items()
        }
        for name, server in servers.items():
            check(server, *((RPC_BODY, RPC_ANSWER) if name == JSON_RPC else ()))
            progress(f"warming up {name}")
            turns[name]()
        slices = in_turns(turns, options.cycles, cost, "CPU microseconds per request")
    spent = {name: costs(of_server) for name, of_server in slices.items()}
    bars = {name: spread(values) for name, values in spent.items()}
    ordered = sorted(bars, key=lambda name: bars[name].median)
    rows = [
        [
            name,
            bars[name].shown(1),
            ratio(spent[BASE], spent[name]).shown(2),
            ratio(spent[name], spent[OURS]).shown(2),
            f"{spread([one.requests_per_second for one in slices[name]]).median:.0f}",
        ]
        for name in ordered
    ]
    header = [
        "server",
        "CPU µs per request",
        "times cheaper than the base",
        "costs times toto_aio",
        "requests/s",
    ]
    return Report(
        "frameworks",
        "CPU µs per echo, median and quartiles",
        {name: bars[name] for name in ordered},
        markdown(header, rows),
        list(goals(spent)),
    )


def commands() -> Iterator[tuple[str, Command]]:
    """The servers that can be run here."""
    yield BASE, peer("handwritten.py")
    yield LEAST, peer("handwritten.py", "least")
    yield OURS, toto_aio
    yield GENERAL, lambda directory: toto_aio(directory, "--fast-path=false")
    python, modules = peers_python(row[0] for row in PEERS.values())
    for name, (module, file, *arguments) in PEERS.items():
        if module in modules:
            yield name, peer(file, *arguments, python=python)
        else:
            progress(f"{name} is left out: it could not be installed")


def goals(spent: dict[str, list[float]]) -> Iterator[Goal]:
    """The first two goals."""
    yield Goal(1, "times cheaper than the base, general path", 1.25, ratio(spent[BASE], spent[GENERAL]))
    yield Goal(1, "times cheaper than the base, fast path", 2, ratio(spent[BASE], spent[OURS]))
    for name, times in TIMES.items():
        if name in spent:
            yield Goal(2, f"times cheaper than {name}", times, ratio(spent[name], spent[OURS]))


if __name__ == "__main__":
    print_table(run, "The echo on this service, and on others.")
