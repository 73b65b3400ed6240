"""Methods that give errors."""

from __future__ import annotations

from toto_aio import method
from toto_aio.exceptions import InvalidParameters, TimedOut, TooManyAttempts, Unavailable


@method
async def parameters() -> None:
    """Refuse everything."""
    raise InvalidParameters("\x1b[2Jno")


@method
async def unavailable() -> None:
    """Have no database."""
    raise Unavailable


@method
async def busy() -> None:
    """Have too much to do."""
    raise TooManyAttempts(retry_after=3)


@method
async def late() -> None:
    """Take too long."""
    raise TimedOut
