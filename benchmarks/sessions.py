"""What a signed call of a logged-in user costs, beside one plain read of the driver for each request.

    python -m benchmarks.sessions [--cycles N] [--seconds N] [KIND ...]

For each kind of database a server of its own is started, as the tests do, with 1,000 sessions in it. The base
answers the same call after one read by the driver, without a signature; this service also verifies the
request's signature and signs the answer. How it is measured is in README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import http.client
import importlib
import json
import os
import random
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.echo import (
    BODY,
    PARAMETERS,
    Failure,
    Server,
    Slice,
    load,
    progress,
    running,
    spread,
    two_cores,
)

KINDS = ("redis", "postgresql", "mysql", "mongodb")
SESSIONS = 1000
USER = "ada"
SIGNATURE = base64.b64encode(hmac.digest(USER.encode(), BODY.encode(), "sha1")).decode()
OURS, BASE = "toto_aio", "one plain read"

ECHO = '''from toto_aio.invocation import authenticated


@authenticated
async def invoke(handler, parameters):
    """Return the parameters to who is logged in."""
    return parameters
'''

SCRIPT = """local ids = {{{ids}}}
local requests, number = {{}}, 0
function init()
    for i, id in ipairs(ids) do
        local headers = {{["Content-Type"] = "application/json", ["x-toto-session-id"] = id,
            ["x-toto-hmac"] = "{signature}"}}
        requests[i] = wrk.format("POST", nil, headers, [=[{body}]=])
    end
end
function request()
    number = number % #requests + 1
    return requests[number]
end
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("%d %d %d %d\\n", summary.requests, summary.duration, e.status,
        e.connect + e.read + e.write + e.timeout))
end
"""


def main() -> None:
    """Measure each kind, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; default all")
    parser.add_argument("--cycles", type=int, default=9, metavar="N", help="default %(default)s")
    parser.add_argument("--seconds", type=int, default=1, metavar="N", help="length of a slice")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(unknown)}")
    print("| database | one plain read, CPU µs | toto_aio, CPU µs | times cheaper |")
    print("| --- | --- | --- | --- |")
    try:
        for kind in options.kinds or KINDS:
            slices = measure(kind, options.cycles, options.seconds)
            base, ours = ([one.cpu_us_per_request for one in slices[name]] for name in (BASE, OURS))
            ratio = spread([theirs / own for theirs, own in zip(base, ours, strict=True)])
            print(
                f"| {kind} | {spread(base).shown(1)} | {spread(ours).shown(1)} | {ratio.shown(2)} |",
                flush=True,
            )
    except Failure as exc:
        sys.exit(f"sessions.py: {exc}")


def measure(kind: str, cycles: int, seconds: int) -> dict[str, list[Slice]]:
    """The slices of both services on a database of this kind."""
    server_core, load_core = two_cores()
    wrk = shutil.which("wrk")
    if wrk is None:
        raise Failure("there is no wrk: install the package wrk")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        module = importlib.import_module(f"tests.servers.{kind}")
        os.sched_setaffinity(0, {load_core})
        database = stack.enter_context(module.server())
        url = module.fresh_url(database)
        ids = asyncio.run(make_sessions(url))
        script = directory / "sessions.lua"
        listed = ", ".join(f'"{id}"' for id in ids)
        script.write_text(SCRIPT.format(ids=listed, signature=SIGNATURE, body=BODY))
        os.sched_setaffinity(0, {server_core})
        commands = {OURS: lambda folder: toto_aio(folder, url), BASE: lambda folder: by_hand(kind, url)}
        servers = [
            stack.enter_context(running(name, command, directory / str(number)))
            for number, (name, command) in enumerate(commands.items())
        ]
        os.sched_setaffinity(0, {load_core})
        for server in servers:
            check(server, ids[0])
            load(wrk, script, server, seconds)
        slices: dict[str, list[Slice]] = {server.name: [] for server in servers}
        for cycle in range(1, cycles + 1):
            random.shuffle(servers)
            for server in servers:
                slices[server.name].append(load(wrk, script, server, seconds))
            costs = (f"{name} {of_server[-1].cpu_us_per_request:.1f}" for name, of_server in slices.items())
            progress(f"{kind}: cycle {cycle} of {cycles}, CPU microseconds per request: {', '.join(costs)}")
        os.sched_setaffinity(0, {server_core, load_core})
    return slices


async def make_sessions(url: str) -> list[str]:
    """The ids of new sessions of one user."""
    from toto_aio.accounts import Accounts
    from toto_aio.models import Account
    from toto_aio.passwords import Passwords
    from toto_aio.sessions import Sessions
    from toto_aio.settings import Settings
    from toto_aio.stores import open_store

    store = await open_store(url)
    await store.add_account(Account(USER, None))
    sessions = Sessions(store, Accounts(store, Passwords()), Settings())
    ids = [(await sessions.create(USER)).session_id for _ in range(SESSIONS)]
    await store.close()
    return ids


def toto_aio(directory: Path, url: str) -> list[str]:
    """This service with a method that needs a session."""
    (directory / "methods").mkdir()
    (directory / "methods" / "echo.py").write_text(ECHO)
    return [sys.executable, "-m", "toto_aio", "serve", "--port=0", f"--database={url}"]


def by_hand(kind: str, url: str) -> list[str]:
    """The base."""
    return [sys.executable, str(Path(__file__).with_name("peers") / "session_read.py"), kind, url]


def check(server: Server, session_id: str) -> None:
    """Raise ``Failure`` unless it answers a session, and refuses what is none."""
    where = urlsplit(server.url)
    for id, good in ((session_id, True), (hashlib.sha256(b"none").hexdigest(), False)):
        headers = {"Content-Type": "application/json", "x-toto-session-id": id, "x-toto-hmac": SIGNATURE}
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
        connection.request("POST", where.path, BODY, headers)
        response = connection.getresponse()
        answer: Any = response.read()
        connection.close()
        answered = response.status == 200 and json.loads(answer).get("result") == PARAMETERS
        if answered is not good:
            raise Failure(f"{server.name} answered {response.status} {answer!r}")


if __name__ == "__main__":
    main()
