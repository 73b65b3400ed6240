"""Runs a drill: it measures, prints a table and a verdict, and exits with status 1 if it failed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


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
        sys.exit(f"{name}: {exc}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    print(table(found))
    print()
    passed, said = verdict(found)
    print(said)
    sys.exit(0 if passed else 1)


def progress(line: str) -> None:
    """Report progress on stderr; only the table and the verdict go to stdout."""
    print(line, file=sys.stderr, flush=True)
