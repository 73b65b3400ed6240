"""What calls cost beside those of another version: two checkouts, loaded in turns.

    python -m benchmarks.paired --base PATH [--starts N] [--cycles N] [--seconds N]

Both run with this interpreter and its libraries: only the source differs. Two processes of one program
already differ by a few per cent, as their memory is laid out differently, and more rounds don't change that.
So all servers are started anew several times. What is shown is the median of the starts, with its interval,
and as a control the same for a second process of the base. README.md describes how a slice is measured.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.figures import markdown
from benchmarks.harness import (
    BODY,
    ECHO,
    HEADERS,
    PARAMETERS,
    Command,
    Failure,
    Server,
    command_line,
    post,
    serving,
    toto_aio,
)
from benchmarks.slices import SLICE, Load, alternate, interval

HERE = Path(__file__).parents[1]
BASE, AGAIN, HEAD = "base", "base, again", "head"
LOGIN = "from toto_aio.methods.account.create import invoke\n"
SIGNED = '''from toto_aio.invocation import authenticated


@authenticated
async def invoke(handler, parameters):
    """Return the parameters to a logged-in user."""
    return parameters
'''
METHODS = {"echo": ECHO, "join": LOGIN, "signed": SIGNED}
IN_A_BATCH = 50
GENERAL = ", general path"
WARM_UP = 0.3
"""Seconds that each load has before it counts."""


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paired", description="Compare two versions.")
    parser.add_argument("--base", type=Path, required=True, metavar="PATH", help="a checkout to compare with")
    parser.add_argument("--starts", type=int, default=9, metavar="N", help="default %(default)s")
    options = command_line(parser)
    if not (options.base / "src" / "toto_aio").is_dir():
        parser.error(f"--base: {options.base} has no src/toto_aio: write the folder of a checkout")
    if options.starts < 2:
        parser.error("--starts: an interval needs at least 2")
    try:
        print(
            compare(options.base.resolve(), options.starts, round(options.cycles * options.seconds / SLICE))
        )
    except Failure as exc:
        sys.exit(f"paired.py: {exc}")


def compare(base: Path, starts: int, rounds: int) -> str:
    """The table: the costs of each kind of call, and how many times those of the base they are."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for number in range(1, starts + 1):
        for kind, spent in measure(base, rounds, f"start {number} of {starts}").items():
            found.setdefault(kind, []).append(ratios_of(spent))
    rows = []
    for kind, of_starts in found.items():
        costs, control, head = (interval(values) for values in zip(*of_starts, strict=True))
        rows.append([kind, costs.shown(2), head.shown(3), control.shown(3)])
    return markdown(["call", "CPU µs, base", "head / base", "base again / base"], rows)


def ratios_of(spent: Mapping[str, list[float]]) -> tuple[float, float, float]:
    """Of the rounds of one start: the cost with the base, and how many times it the others cost."""
    base = spent[BASE]
    control, head = (
        median(one / other for one, other in zip(spent[name], base, strict=True)) for name in (AGAIN, HEAD)
    )
    return median(base), control, head


def measure(base: Path, rounds: int, what: str) -> dict[str, dict[str, list[float]]]:
    """The costs of each kind of call in each version, round by round, from servers started for them."""
    versions = {BASE: base, AGAIN: base, HEAD: HERE}
    commands: dict[str, Command] = {}
    for name, path in versions.items():
        commands[name] = command(path)
        commands[name + GENERAL] = command(path, "--fast-path=false")
    spent = {}
    with serving(commands) as servers:
        for kind, load in KINDS.items():
            with ExitStack() as stack:
                suffix = GENERAL if kind.endswith(GENERAL) else ""
                loads = {name: stack.enter_context(load(servers[name + suffix])) for name in versions}
                for one in loads.values():
                    one.slice(WARM_UP)
                spent[kind] = alternate(loads, rounds, what=f"{what}, {kind}")
    return spent


def command(path: Path, *options: str) -> Command:
    """The service with the source of a checkout."""
    return lambda folder: ["env", f"PYTHONPATH={path / 'src'}", *toto_aio(folder, *options, methods=METHODS)]


def plain(server: Server) -> Load:
    """An echo."""
    return Load(server, BODY)


def batch(server: Server) -> Load:
    """Echoes in a batch, each of which counts."""
    call = {"method": "echo", "parameters": PARAMETERS}
    message = {"batch": {str(number): call for number in range(IN_A_BATCH)}}
    return Load(server, json.dumps(message, separators=(",", ":")), calls=IN_A_BATCH)


def signed(server: Server) -> Load:
    """An echo to a user, with a session of its own for each load, and both sides signed."""
    body = BODY.replace("echo", "signed")
    return Load(server, body, {**HEADERS, **session(server, body)})


def session(server: Server, body: str) -> dict[str, str]:
    """The headers that sign a body with a new session."""
    user = f"{secrets.token_hex(8)}@example.com"
    account = {"user_id": user, "password": secrets.token_urlsafe()}
    _, answer = post(server, json.dumps({"method": "join", "parameters": account}))
    if "result" not in answer:
        raise Failure(f"{server.name} responded {answer!r}, and not with a session")
    signature = base64.b64encode(hmac.digest(user.encode(), body.encode(), "sha1")).decode()
    return {"x-toto-session-id": answer["result"]["session_id"], "x-toto-hmac": signature}


KINDS: dict[str, Callable[[Server], Load]] = {
    "echo, fast path": plain,
    f"echo{GENERAL}": plain,
    "signed, fast path": signed,
    f"signed{GENERAL}": signed,
    f"one of {IN_A_BATCH} in a batch": batch,
}
"""The calls that are compared."""


if __name__ == "__main__":
    main()
