"""How many mails a client may cause: for an address, for an account, and in all."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

import msgspec

from toto_aio.addresses import networks_of
from toto_aio.exceptions import TooManyAttempts
from toto_aio.stores import SessionStore

WINDOW = 900.0
"""Seconds that a mail counts for."""
FROM_ONE_CLIENT = 5
"""Mails to one address, or for one account, that a client may cause."""
TO_ONE_ADDRESS = 10
"""Mails to one address from everywhere: what a stranger can fill a mailbox with."""
OF_ONE_CLIENT = 50
"""Mails that a client may cause, to all addresses."""


class MailLimits:
    """Counts mails in the store that all processes share, whether or not the address belongs to somebody."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def count(self, subjects: Iterable[str], client: str) -> None:
        """Count a mail to an address, and perhaps for an account. Raises ``TooManyAttempts``.

        ``client`` is the IP address that asks for it. The narrow limits come first, so that whoever is beyond
        them uses up nothing of what others have.
        """
        subjects = tuple(subjects)
        networks = networks_of(client)
        limits: list[tuple[tuple[str, ...], int]]
        limits = [
            (("client", name, subject), FROM_ONE_CLIENT * clients)
            for subject in subjects
            for name, clients in networks
        ]
        limits += [(("client", name), OF_ONE_CLIENT * clients) for name, clients in networks]
        limits += [(("subject", subject), TO_ONE_ADDRESS) for subject in subjects]
        for parts, most in limits:
            counter = "mail:" + hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()
            if await self._store.increment(counter, WINDOW) > most:
                _, left = await self._store.get_counter(counter)
                raise TooManyAttempts("Too many mails", retry_after=max(1, math.ceil(left)))
