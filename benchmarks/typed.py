"""What a typed call costs beside the same classic one, when it is refused, and on FastAPI.

    python -m benchmarks.typed [--cycles N] [--seconds N]

A call has four flat parameters. The refused one lacks one of them, has one too many, and two of a wrong type.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.environment import peers_python
from benchmarks.figures import Goal, Report, markdown, ratio, spread
from benchmarks.harness import (
    Command,
    Failure,
    Server,
    check,
    cost,
    costs,
    in_turns,
    load,
    peer,
    post,
    print_table,
    progress,
    serving,
    toto_aio,
    write_script,
)

CLASSIC, TYPED, REFUSED, FASTAPI = "classic", "typed", "typed, refused", "FastAPI, uvicorn"
PARAMETERS = {"title": "tea", "limit": 5, "price": 1.5, "done": True}
WRONG = {"titel": "tea", "limit": "5", "price": "1.5", "done": True}
METHODS = {
    "classic": 'async def invoke(handler, parameters):\n    return parameters["title"]\n',
    "typed": (
        "async def invoke(handler, title: str, limit: int, price: float = 1.0, done: bool = False) -> str:\n"
        "    return title\n"
    ),
}


def run(options: argparse.Namespace) -> Report:
    """Measure each call in the same cycles."""
    python, modules = peers_python(["fastapi"])
    commands: dict[str, Command] = {"toto_aio": partial(toto_aio, methods=METHODS)}
    if "fastapi" in modules:
        commands[FASTAPI] = peer("echo_asgi.py", "fastapi_typed", python=python)
    with serving(commands) as servers, tempfile.TemporaryDirectory() as folder:
        turns = {}
        for number, (name, server, body) in enumerate(
            [
                (CLASSIC, "toto_aio", {"method": "classic", "parameters": PARAMETERS}),
                (TYPED, "toto_aio", {"method": "typed", "parameters": PARAMETERS}),
                (REFUSED, "toto_aio", {"method": "typed", "parameters": WRONG}),
                (FASTAPI, FASTAPI, PARAMETERS),
            ]
        ):
            if server not in servers:
                progress(f"{name} is left out: it could not be installed")
                continue
            text = json.dumps(body, separators=(",", ":"))
            _require(servers[server], text, name)
            script = write_script(Path(folder) / f"{number}.lua", text)
            turns[name] = partial(load, servers[server], script, options.seconds)
            progress(f"warming up {name}")
            turns[name]()
        slices = in_turns(turns, options.cycles, cost, "CPU microseconds per request")
    spent = {name: costs(of_call) for name, of_call in slices.items()}
    bars = {name: spread(values) for name, values in spent.items()}
    more = spread([typed - classic for typed, classic in zip(spent[TYPED], spent[CLASSIC], strict=True)])
    goals = [
        Goal(10, "µs that a typed call costs more than the classic one", 2, more, at_most=True),
        Goal(
            10,
            "times the cost of a typed call, refused",
            5,
            ratio(spent[REFUSED], spent[TYPED]),
            at_most=True,
        ),
    ]
    if FASTAPI in spent:
        goals.append(
            Goal(10, "times cheaper than FastAPI's typed call", 4, ratio(spent[FASTAPI], spent[TYPED]))
        )
    rows = [[name, bars[name].shown(1), ratio(spent[name], spent[TYPED]).shown(2)] for name in bars]
    header = ["call", "CPU µs per request", "costs times a typed call"]
    return Report("typed", "CPU µs per call with four parameters", bars, markdown(header, rows), goals)


def _require(server: Server, body: str, name: str) -> None:
    """Raise ``Failure`` unless the server gives the response that is to be timed."""
    if name != REFUSED:
        check(server, body, {"result": "tea"})
        return
    _, answer = post(server, body)
    if len(answer.get("error", {}).get("problems", ())) != 4:
        raise Failure(f"{server.name} responded {answer!r}, and not with four problems")


if __name__ == "__main__":
    print_table(run, "A typed call, beside the same one in the classic form.")
