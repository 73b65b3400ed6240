"""Accounts and sessions as a store keeps them, and what is known of a client: plain data.

These are created for each request: creating one of msgspec's structs takes a third of the time of a
dataclass.
"""

from __future__ import annotations

import secrets
from typing import Any

from msgspec import Struct, field
from msgspec.structs import force_setattr

from toto_aio.names import readable

__all__ = ["NEVER", "Account", "ClientInfo", "File", "Record", "Session"]

NEVER = 253402300799.0
"""The ``expires`` of what does not expire, the end of the year 9999: some databases keep no infinite time."""
VERSION_BITS = 60
"""Of the first version of a record: a signed integer of 64 bits has room for all that follow."""


class Account(Struct):
    """An account: a lower-case ``user_id``, the hash of its password, and its custom fields in ``values``.

    ``password`` is None for an account that cannot log in with a password. ``version`` counts the updates.
    """

    user_id: str
    password: str | None
    values: dict[str, Any] = field(default_factory=dict)
    version: int = 1


class Session(Struct):
    """A session: ``key`` is the SHA-256 of the id that its client holds; ``user_id`` is "" if anonymous.

    ``created``, ``expires`` and ``seen`` are Unix seconds, ``state`` is MessagePack, ``version`` counts the
    saves, and ``signing_key`` is b"" unless each session has its own key. ``seen`` is when it was last
    renewed; ``address`` and ``agent`` describe the client that it was created for.
    """

    key: str
    user_id: str
    created: float
    expires: float
    state: bytes
    version: int = 1
    signing_key: bytes = b""
    seen: float = 0.0
    address: str = ""
    agent: str = ""


class Record(Struct):
    """What is kept beside accounts and sessions: a code, an API key, the outcome of a call.

    ``kind`` and ``key`` name it; together they are at most 254 bytes in UTF-8, and a kind has no colon.
    ``owner`` is the user it belongs to, or "" for nobody, ``expires`` is in Unix seconds, and ``version``
    counts the writes, from a random number on: so a record that takes the place of one that is gone has
    another version, whatever has become of either.
    """

    kind: str
    key: str
    owner: str
    value: bytes
    expires: float = NEVER
    version: int = field(default_factory=lambda: secrets.randbits(VERSION_BITS))


class File(Struct, frozen=True):
    """A file of a form: its ``name`` as the browser sent it, its content type, and its bytes.

    The name and the type are the client's, and may be anything: never open a path that is made of a name.
    """

    name: str
    content_type: str = "application/octet-stream"
    data: bytes = b""


class ClientInfo(Struct, frozen=True):
    """The client that makes a request: its IP address, and the name that it gives itself (User-Agent).

    Both are made ``readable``, as they are stored and a header may have any bytes.
    """

    address: str = ""
    agent: str = ""

    def __post_init__(self) -> None:
        """Make both readable."""
        force_setattr(self, "address", readable(self.address))
        force_setattr(self, "agent", readable(self.agent))
