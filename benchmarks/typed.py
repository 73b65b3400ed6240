"""What a typed call costs beside the same classic one, when it is refused, and on FastAPI.

    python -m benchmarks.typed [--cycles N] [--seconds N]

A call has four flat parameters. The refused one lacks one of them, has one too many, and two of a wrong type.
All go to one server, in requests of one length. They differ by so little that slices of seconds cannot tell
it on a machine that does something else: they are compared in short ones (``slices.py``), with the classic
method under a second name as the control.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from functools import partial

from benchmarks.environment import peers_python
from benchmarks.figures import Goal, Report, markdown
from benchmarks.harness import Command, Failure, peer, print_table, progress, serving, toto_aio
from benchmarks.slices import SLICE, Load, alternate, differences, interval, ratios

CLASSIC, CONTROL, TYPED = "classic", "classic, again", "typed"
REFUSED, FASTAPI = "typed, refused", "FastAPI, uvicorn"
PARAMETERS = {"title": "tea", "limit": 5, "price": 1.5, "done": True}
WRONG = {"titel": "tea", "limit": "5", "price": "1.5", "done": True}
CODE = 'async def invoke(handler, parameters):\n    return parameters["title"]\n'
METHODS = {
    "classic": CODE,
    "control": CODE,
    "checked": (
        "async def invoke(handler, title: str, limit: int, price: float = 1.0, done: bool = False) -> str:\n"
        "    return title\n"
    ),
}
BODIES = {
    CLASSIC: {"method": "classic", "parameters": PARAMETERS},
    CONTROL: {"method": "control", "parameters": PARAMETERS},
    TYPED: {"method": "checked", "parameters": PARAMETERS},
    REFUSED: {"method": "checked", "parameters": WRONG},
    FASTAPI: PARAMETERS,
}


def run(options: argparse.Namespace) -> Report:
    """Measure each call in the same rounds."""
    python, modules = peers_python(["fastapi"])
    ours = "toto_aio"
    commands: dict[str, Command] = {ours: partial(toto_aio, methods=METHODS)}
    if "fastapi" in modules:
        commands[FASTAPI] = peer("echo_asgi.py", "fastapi_typed", python=python)
    else:
        progress(f"{FASTAPI} is left out: it could not be installed")
    with serving(commands) as servers, ExitStack() as stack:
        loads: dict[str, Load] = {}
        for name, body in BODIES.items():
            if server := servers.get(name if name == FASTAPI else ours):
                loads[name] = stack.enter_context(Load(server, json.dumps(body, separators=(",", ":"))))
                _require(name, loads[name])
        for name, load in loads.items():
            progress(f"warming up {name}")
            load.slice(options.seconds)
        rounds = max(2, round(options.cycles * options.seconds / SLICE))
        spent = alternate(loads, rounds, what="CPU microseconds per request")
    bars = {name: interval(values) for name, values in spent.items()}
    more = {name: differences(values, spent[CLASSIC]) for name, values in spent.items()}
    goals = [
        Goal(10, "µs that a typed call costs more than the classic one", 2, more[TYPED], at_most=True),
        Goal(
            10,
            "times the cost of a typed call, refused",
            5,
            ratios(spent[REFUSED], spent[TYPED]),
            at_most=True,
        ),
    ]
    if FASTAPI in spent:
        cheaper = ratios(spent[FASTAPI], spent[TYPED])
        goals.append(Goal(10, "times cheaper than FastAPI's typed call", 4, cheaper))
    rows = [
        [
            name,
            bars[name].shown(1),
            more[name].shown(2),
            ratios(spent[name], spent[CLASSIC]).shown(3),
            ratios(spent[name], spent[TYPED]).shown(2),
        ]
        for name in bars
    ]
    rows[0][2:4] = "", ""
    header = [
        "call",
        "CPU µs per request",
        "more than the classic one",
        "costs times the classic one",
        "costs times a typed call",
    ]
    return Report("typed", "CPU µs per call with four parameters", bars, markdown(header, rows), goals)


def _require(name: str, load: Load) -> None:
    """Raise ``Failure`` unless the server gives the response that is to be timed."""
    answer = json.loads(load.first.partition(b"\r\n\r\n")[2])
    if name != REFUSED and answer == {"result": "tea"}:
        return
    if name == REFUSED and len(answer.get("error", {}).get("problems", ())) == 4:
        return
    raise Failure(f"{name}: {answer!r}, not the title or, if refused, four problems")


if __name__ == "__main__":
    print_table(run, "A typed call, beside the same one in the classic form.")
