"""Runs a drill: it measures, prints a table and a verdict, and exits with status 1 if it failed."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import uvloop

T = TypeVar("T")

Sizes = Mapping[str, tuple[int, int]]
"""How much a drill does: the default of each number, and the least that makes sense."""


class Failure(Exception):
    """Nothing reliable could be measured; the message is for the user."""


def run_drill(
    name: str,
    measure: Callable[[], T],
    table: Callable[[T], str],
    verdict: Callable[[T], tuple[bool, str]],
) -> None:
    """Run a drill and print its table and verdict; the exit status is 1 unless it passed."""
    # Services are stopped while an exception propagates, and TERM raises none by default.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        found = measure()
    except (Failure, TimeoutError) as exc:
        sys.exit(f"{name}: {str(exc) or 'something took too long'}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    print(table(found))
    print()
    passed, said = verdict(found)
    print(said)
    sys.exit(0 if passed else 1)


def read_sizes(
    description: str, sizes: Sizes, arguments: Sequence[str] | None, databases: Sequence[str] = ()
) -> argparse.Namespace:
    """Parse a command line that says how much is done, and on which of these databases, if there are any."""
    parser = argparse.ArgumentParser(description=description)
    for name, (default, _) in sizes.items():
        parser.add_argument(_flag(name), type=int, default=default, metavar="N", help="default %(default)s")
    if databases:
        parser.add_argument("--databases", default=databases, type=lambda text: tuple(text.split(",")))
    options = parser.parse_args(arguments)
    for name, (_, least) in sizes.items():
        if getattr(options, name) < least:
            parser.error(f"{_flag(name)}: at least {least}")
    if databases and (unknown := set(options.databases) - set(databases)):
        parser.error(f"--databases: {', '.join(sorted(unknown))}: write some of {', '.join(databases)}")
    return options


@contextmanager
def workshop() -> Iterator[tuple[Path, asyncio.Runner]]:
    """An empty folder, and a loop as the services have it, for the duration of the block."""
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop,
    ):
        yield Path(folder), loop


def progress(line: str) -> None:
    """Report progress on stderr; only the table and the verdict go to stdout."""
    print(line, file=sys.stderr, flush=True)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
