"""What a signed call of a logged-in user costs, compared with one plain driver read for each request.

    python -m benchmarks.sessions [--cycles N] [--seconds N] [KIND ...]

For each kind of database its own server is started, as in the tests, with 1,000 sessions in it. One peer
responds to the same signed call after one read by the driver; another responds to the echo without any
session. README.md describes how it is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import importlib
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.figures import Goal, Report, Spread, markdown, ratio, spread
from benchmarks.harness import (
    BODY,
    DONE,
    HEADERS,
    PARAMETERS,
    Failure,
    Server,
    check,
    command_line,
    cost,
    costs,
    in_turns,
    load,
    peer,
    pinned,
    post,
    serving,
    toto_aio,
    two_cores,
    write_script,
)

KINDS = ("redis", "postgresql", "mysql", "mongodb")
SESSIONS = 1000
USER = "ada"
SIGNATURE = base64.b64encode(hmac.digest(USER.encode(), BODY.encode(), "sha1")).decode()
OURS, BASE, NONE = "toto_aio", "one plain read", "no session, hand-written"

ECHO = '''from toto_aio.invocation import authenticated


@authenticated
async def invoke(handler, parameters):
    """Return the parameters to a logged-in user."""
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
"""


def main() -> None:
    """Measure each kind, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; default all")
    options = command_line(parser)
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(unknown)}")
    try:
        print(run(options, options.kinds or KINDS).table)
    except Failure as exc:
        sys.exit(f"sessions.py: {exc}")


def run(options: argparse.Namespace, kinds: tuple[str, ...] = KINDS) -> Report:
    """Measure the services on each kind of database."""
    bars: dict[str, Spread] = {}
    rows, goals = [], []
    for kind in kinds:
        spent = measure(kind, options.cycles, options.seconds)
        ours, base = (spread(spent[name]) for name in (OURS, BASE))
        times, plain = ratio(spent[BASE], spent[OURS]), ratio(spent[NONE], spent[OURS])
        bars |= {f"{OURS}, {kind}": ours, f"{BASE}, {kind}": base}
        rows.append([kind, base.shown(1), ours.shown(1), times.shown(2), plain.shown(2)])
        if kind == "redis":
            goals.append(Goal(3, "times cheaper than redis-py's GET per request", 3.5, times))
            goals.append(Goal(3, "times cheaper than the base without a session", 1, plain))
        if kind == "postgresql":
            goals.append(Goal(4, "times cheaper than an asyncpg query per request", 2, times))
    header = [
        "database",
        f"{BASE}, CPU µs",
        f"{OURS}, CPU µs",
        "times cheaper",
        "times cheaper than no session",
    ]
    return Report(
        "sessions",
        "CPU µs per call with a session, median and quartiles",
        bars,
        markdown(header, rows),
        goals,
    )


def measure(kind: str, cycles: int, seconds: int) -> Mapping[str, list[float]]:
    """The CPU microseconds per request of the services on a database of this kind."""
    module = importlib.import_module(f"tests.support.servers.{kind}")
    with tempfile.TemporaryDirectory() as folder:
        with pinned(two_cores()[1]):
            database = module.server().__enter__()
        try:
            url = module.fresh_url(database)
            ids = asyncio.run(make_sessions(url))
            listed = ", ".join(f'"{session_id}"' for session_id in ids)
            script = Path(folder) / "sessions.lua"
            script.write_text(SCRIPT.format(ids=listed, signature=SIGNATURE, body=BODY) + DONE)
            plain = write_script(Path(folder) / "echo.lua")
            commands = {
                OURS: lambda folder: toto_aio(folder, methods={"echo": ECHO}, database=url),
                BASE: peer("session_read.py", kind, url),
                NONE: peer("handwritten.py"),
            }
            with serving(commands) as servers:
                check(servers[NONE])
                for name in (OURS, BASE):
                    check_sessions(servers[name], ids[0])
                turns = {
                    name: partial(load, server, plain if name == NONE else script, seconds)
                    for name, server in servers.items()
                }
                for turn in turns.values():
                    turn()
                slices = in_turns(turns, cycles, cost, f"{kind}, CPU microseconds per request")
        finally:
            database.__exit__()
    return {name: costs(of_server) for name, of_server in slices.items()}


async def make_sessions(url: str, count: int = SESSIONS) -> list[str]:
    """The ids of new sessions of one user."""
    from toto_aio.auth.accounts import Accounts
    from toto_aio.auth.passwords import Passwords
    from toto_aio.auth.sessions import Sessions
    from toto_aio.models import Account
    from toto_aio.settings import Settings
    from toto_aio.stores import open_store

    store = await open_store(url)
    await store.add_account(Account(USER, None))
    sessions = Sessions(store, Accounts(store, Passwords()), Settings())
    ids = [(await sessions.create(USER)).session_id for _ in range(count)]
    await store.close()
    return ids


def check_sessions(server: Server, session_id: str) -> None:
    """Raise ``Failure`` unless the server accepts a session and refuses an invalid one."""
    for shown, good in ((session_id, True), (hashlib.sha256(b"none").hexdigest(), False)):
        headers = {**HEADERS, "x-toto-session-id": shown, "x-toto-hmac": SIGNATURE}
        status, response = post(server, BODY, headers)
        accepted = status == 200 and response.get("result") == PARAMETERS
        if accepted is not good:
            raise Failure(f"{server.name} responded {status} {response!r}")


if __name__ == "__main__":
    main()
