"""What every drill does: it measures, prints a table and a verdict, and exits with 1 unless it was passed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Failure(Exception):
    """Nothing was measured that could be relied on; the message is for the user."""


def run_drill(
    name: str,
    measure: Callable[[], T],
    table: Callable[[T], str],
    verdict: Callable[[T], tuple[bool, str]],
) -> None:
    """Run a drill, print the table and the verdict; exit status 1 unless it was passed."""
    # Only an exception ends the services on the way out, and TERM raises none by itself.
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
    """Say on stderr what is being done; the table alone goes to stdout."""
    print(line, file=sys.stderr, flush=True)
