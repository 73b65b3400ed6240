"""The idempotency key of a call: one that was written, or one that is made up."""

from __future__ import annotations

import secrets
import sys

from toto_aio.cli.call.document import IDEMPOTENCY_KEY, Described
from toto_aio.cli.call.line import Options, UsageError

OPTION = IDEMPOTENCY_KEY


def key_of(options: Options) -> str | None:
    """The key of a call, if it is to have one. What is made up is shown, as a repeat needs it."""
    written = options.values.get(OPTION)
    if written != "":
        return written
    key = secrets.token_hex(16)
    print(f"toto-aio: to repeat this call, write --{OPTION}={key}", file=sys.stderr)
    return key


def require_idempotent(method: Described | None, options: Options) -> None:
    """Raise ``UsageError`` for a key that the method would not look at, so that a repeat is done again."""
    if method is not None and options.has(OPTION) and not method.is_idempotent:
        raise UsageError(f"--{OPTION}: {method.name} is not marked @idempotent: a repeat would be done again")
