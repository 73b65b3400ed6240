"""The bounds of a type in words: ``1 to 200 characters``, ``from 1 to 100``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def amount(least: int | None, most: int | None, unit: str) -> str:
    """How many there may be, such as ``at most 1 item``; "" if any number will do."""
    if not least and most is None:
        return ""
    last = least if most is None else most
    units = unit if last == 1 else f"{unit}s"
    if most is None:
        return f"at least {least} {units}"
    if not least:
        return f"at most {most} {units}"
    return f"{most} {units}" if least == most else f"{least} to {most} {units}"


def between(least: Any, most: Any, above: Any = None, below: Any = None) -> str:
    """Where a number may be: from ``least`` to ``most``, and between ``above`` and ``below``; or ""."""
    if least is not None and least == most:
        limits = [f"exactly {least}"]
    elif least is not None and most is not None:
        limits = [f"from {least} to {most}"]
    else:
        limits = [*_limit("at least", least), *_limit("at most", most)]
    return " and ".join([*limits, *_limit("more than", above), *_limit("less than", below)])


def _limit(words: str, number: Any) -> Iterator[str]:
    if number is not None:
        yield f"{words} {number}"
