"""What goes wrong with a call, and the exit status that says so to scripts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import aiohttp

from toto_aio.cli.call.line import UsageError, option_of
from toto_aio.cli.call.outcome import printable, to_json
from toto_aio.client import UnreadableResponseError
from toto_aio.dispatch.problems import Problem
from toto_aio.exceptions import InvalidParameters, InvalidResponseHMAC, TotoException
from toto_aio.settings import SettingsError

FAILED, USAGE, DENIED, NOT_FOUND, UNAVAILABLE, UNREACHABLE, UNREADABLE, INTERRUPTED = 1, 2, 3, 4, 5, 6, 7, 130
STATUSES: Mapping[int, int] = {
    1001: NOT_FOUND,
    1002: USAGE,
    1003: USAGE,
    1004: DENIED,
    1005: DENIED,
    1007: DENIED,
    1008: DENIED,
    1009: UNREADABLE,
    1011: UNAVAILABLE,
    1012: UNAVAILABLE,
    1013: UNAVAILABLE,
    1014: UNAVAILABLE,
    1015: USAGE,
}
"""The exit statuses of errors by their codes; others are ``FAILED``."""


class FailedError(Exception):
    """A failure that has been described: lines for people, an error for programs, and the exit status."""

    def __init__(self, status: int, lines: list[str], error: Mapping[str, Any]) -> None:
        super().__init__(*lines)
        self.status = status
        self.lines = lines
        self.error = error


@contextmanager
def failures_shown(*, as_json: bool = False) -> Iterator[None]:
    """End the program with a line for each thing that is wrong, and the status for it."""
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception as exc:
        failed = described(exc)
        if failed is None:
            raise
        _end(failed, as_json=as_json)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def described(exc: Exception) -> FailedError | None:
    """An exception for the user; None for a mistake of ours."""
    if isinstance(exc, FailedError):
        return exc
    if isinstance(exc, TotoException) and not isinstance(exc, InvalidResponseHMAC):
        return _of_error(exc, [])
    for kind, status, text in _OTHERS:
        if isinstance(exc, kind):
            shown = text.format(exc) if text else str(exc)
            return FailedError(status, [shown], {"code": getattr(exc, "code", None), "value": shown})
    return None


def refused(exc: TotoException, *hints: str) -> FailedError:
    """The error of a call; ``hints`` say what to do about it, unless they are empty."""
    return _of_error(exc, [hint for hint in hints if hint])


def _of_error(exc: TotoException, hints: list[str]) -> FailedError:
    lines = [f"{exc.code}: {exc.value if isinstance(exc.value, str) else to_json(exc.value)}"]
    if isinstance(exc, InvalidParameters) and exc.problems:
        lines = [_problem(each) for each in exc.problems if isinstance(each, dict)]
    return FailedError(STATUSES.get(exc.code, FAILED), [*lines, *hints], exc.as_dict())


def _problem(problem: Mapping[str, Any]) -> str:
    """A problem with a parameter, with the name of its option."""
    texts = {
        name: text
        for name, text in problem.items()
        if name in Problem.__struct_fields__ and isinstance(text, str)
    }
    nearest = texts.get("nearest", "")
    path = texts.get("path", "")
    shown = {"path": option_of(path) if path else "", "nearest": option_of(nearest) if nearest else ""}
    return str(Problem(**{"path": "", "kind": "", **texts, **shown}))


def _end(failed: FailedError, *, as_json: bool) -> NoReturn:
    if as_json:
        print(to_json({"error": failed.error}))
    else:
        for line in failed.lines:
            print(f"toto-aio: {printable(line, lines=True)}", file=sys.stderr)
    sys.exit(failed.status)


_OTHERS: tuple[tuple[type[Exception], int, str], ...] = (
    (UsageError, USAGE, ""),
    (SettingsError, USAGE, ""),
    (InvalidResponseHMAC, UNREADABLE, ""),
    (UnreadableResponseError, UNREADABLE, ""),
    (asyncio.TimeoutError, UNAVAILABLE, "no response in time; the call may have been carried out"),
    (aiohttp.InvalidURL, USAGE, "{}: not the URL of a service"),
    (aiohttp.ClientError, UNREACHABLE, ""),
)
"""Other exceptions, the status of each, and its text if its own says little."""
