"""Remembered devices: programs and browsers whose logins skip the second step for a while."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from toto_aio.auth.user_session import handle_of
from toto_aio.models import ClientInfo, Record
from toto_aio.stores import RecordStore

KIND = "device"
"""The kind of the records."""
TTL = 30 * 86400.0
"""Seconds for which a device is remembered."""
MAX_DEVICES = 100
"""The most devices of an account: beyond it no more are remembered until one is forgotten."""
MAX_LENGTH = 64
MAX_AGENT = 200


class Device(msgspec.Struct, frozen=True):
    """A device as it is stored: the ``mark`` that the account had then, and the client."""

    mark: bytes
    created: float
    address: str
    agent: str


class Devices:
    """The remembered devices of a service, by tokens that are stored as SHA-256."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    async def remember(self, user_id: str, mark: bytes, client: ClientInfo) -> str | None:
        """A token for a device, which only it is to know; None if too many are remembered already."""
        if len(await self._store.list_records(user_id, KIND, limit=MAX_DEVICES)) >= MAX_DEVICES:
            return None
        token, now = secrets.token_urlsafe(32), time.time()
        device = Device(mark, now, client.address, client.agent[:MAX_AGENT])
        value = msgspec.msgpack.encode(device)
        await self._store.add_record(Record(KIND, _key(token), user_id, value, now + TTL))
        return token

    async def knows(self, user_id: str, mark: bytes, token: str) -> bool:
        """Whether a token is that of a device of this account, whose password is still the same."""
        if len(token) > MAX_LENGTH:
            return False
        record = await self._store.get_record(KIND, _key(token))
        return record is not None and record.owner == user_id and _read(record).mark == mark

    async def list(self, user_id: str) -> Sequence[dict[str, Any]]:
        """What a user may know about the devices, the oldest first."""
        records = await self._store.list_records(user_id, KIND, limit=MAX_DEVICES + 1)
        found = [(record, _read(record)) for record in records]
        return [
            {
                "handle": handle_of(record.key),
                "created": device.created,
                "expires": record.expires,
                "address": device.address,
                "agent": device.agent,
            }
            for record, device in sorted(found, key=lambda each: each[1].created)
        ]

    async def forget(self, user_id: str, handle: str) -> bool:
        """Let a device's next login have two steps again. Returns False if there is none."""
        for record in await self._store.list_records(user_id, KIND, limit=MAX_DEVICES + 1):
            if handle_of(record.key) == handle:
                return await self._store.remove_record(KIND, record.key)
        return False

    async def forget_all(self, user_id: str) -> int:
        """Forget all of an account; how many there were."""
        return await self._store.remove_records(user_id, KIND)


def _key(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _read(record: Record) -> Device:
    return msgspec.msgpack.decode(record.value, type=Device)
