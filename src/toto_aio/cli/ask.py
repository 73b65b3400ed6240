"""What a command asks the person in front of the terminal: passwords, and whether they are sure."""

from __future__ import annotations

import getpass
import sys

from toto_aio.cli.call.line import UsageError
from toto_aio.cli.call.outcome import printable


def ask_password(whose: str, *, twice: bool) -> str:
    """A password that was typed without being shown, or the first line of the standard input.

    Raises ``UsageError`` if there is none, or if the two that are typed differ.
    """
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        try:
            password = getpass.getpass(f"Password of {printable(whose)}: ")
            if twice and getpass.getpass("The same again: ") != password:
                raise UsageError("the two passwords differ")
        except EOFError:
            password = ""
    if not password:
        raise UsageError("there is no password: type it, or write it into the standard input")
    return password


def ask_code(whose: str) -> str:
    """A code of a second factor that was typed, or the next line of the standard input.

    Raises ``UsageError`` if there is none.
    """
    if not sys.stdin.isatty():
        code = sys.stdin.readline().strip()
    else:
        try:
            code = input(f"Code of {printable(whose)}: ").strip()
        except EOFError:
            code = ""
    if not code:
        raise UsageError("the account has a second factor: type its code, or write it into the second line")
    return code


def require_certainty(what: str, *, is_certain: bool) -> None:
    """Ask whether something is to be done that nobody can undo. Raises ``UsageError`` unless it is."""
    if is_certain:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{what}: this cannot be undone, so write --yes if nobody is there to be asked")
    try:
        answer = input(f"{printable(what)}? This cannot be undone. [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done")
