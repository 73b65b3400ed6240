"""Waits at the start of a service for a database or broker that is not ready yet (``start_timeout``)."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from toto_aio.exceptions import Unavailable

logger = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds between two attempts."""
PASSING = frozenset(
    {
        *("CannotConnectNowError", "TooManyConnectionsError", "PostgresConnectionError"),  # asyncpg
        *("ConnectionFailure", "NotPrimaryError"),  # pymongo
    }
)
"""Errors of drivers that waiting can mend, by the names of their classes, beside those of the network."""
PASSING_NUMBERS = frozenset({1040, 1053, 1077, 1079, 1080, *range(2000, 3000)})
"""The same of MySQL, by their numbers: too many connections, a shutdown, and errors of the connection."""
PASSING_REPLIES = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "ERR max number of clients")
"""The same of Redis, by how its replies begin."""
REFUSALS = frozenset({"AuthenticationError", "AuthorizationError"})
"""Those of redis-py that are errors of a connection only by their class."""
LASTING = (ssl.SSLCertVerificationError, PermissionError)
"""Errors of the network that waiting can't mend."""

T = TypeVar("T")


class Patience:
    """Repeats what cannot be opened yet, for ``seconds`` in total from now on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds

    async def wait_for(self, open_it: Callable[[], Awaitable[T]]) -> T:
        """What ``open_it`` returns. Raises what it raises: at once what waiting can't mend, such as a wrong
        password, and anything else once the time is over."""
        told = ""
        while True:
            try:
                return await open_it()
            except Unavailable as exc:
                left = self._deadline - asyncio.get_running_loop().time()
                if left <= 0 or not is_passing(exc):
                    raise
                if told != (told := str(exc.value)):
                    logger.warning("%s; waiting, for %g s at most (start_timeout)", told, self._seconds)
            await asyncio.sleep(min(PAUSE, left))


def is_passing(error: BaseException) -> bool:
    """Whether an error, or what has caused it, may be gone soon: nothing answers, or not yet."""
    causes = list(_causes(error))
    return not any(isinstance(cause, LASTING) for cause in causes) and any(map(_is_passing, causes))


def _is_passing(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    if "MySQLError" in names:
        return bool(error.args) and error.args[0] in PASSING_NUMBERS
    if "ResponseError" in names:
        return str(error).startswith(PASSING_REPLIES)
    if "RedisError" in names:
        return not names.isdisjoint({"ConnectionError", "TimeoutError"}) and names.isdisjoint(REFUSALS)
    return isinstance(error, OSError) or not PASSING.isdisjoint(names)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
