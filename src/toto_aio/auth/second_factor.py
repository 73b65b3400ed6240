"""The second factor of accounts: who has one, whether a code is right, and that it counts once.

One record has all that changes when a code is used: the last step that counted and the recovery codes that
are left. It is written onto the version that was read, so of any number of uses of a code at the same time,
in any process, one counts. The version of another second factor is another one: a process that was stopped
while it was turned off and on again writes no old secret back. Tickets and devices have a *mark*, so that
they end with the second factor that they were for, also those that such a process stores later.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from toto_aio.auth.birth import credentials_of
from toto_aio.auth.devices import Devices
from toto_aio.auth.login_tickets import KIND as TICKETS
from toto_aio.auth.login_tickets import LoginTickets
from toto_aio.auth.recovery_codes import hash_of_code, new_recovery_codes
from toto_aio.auth.secret_box import SecretBox
from toto_aio.auth.totp import as_shown, is_code, matching_step, new_secret, otpauth_uri, text_of
from toto_aio.auth.uses import Use, Uses
from toto_aio.exceptions import InvalidCredentials, InvalidParameters, SecondFactorRequired, Unavailable
from toto_aio.models import Record
from toto_aio.stores import AccountStore, RecordStore
from toto_aio.stores.records import NoRecords

KIND, ENROLMENT = "totp", "totp_enrolment"
"""The kinds of the records: of those who have it, and of those who have not confirmed it yet."""
ENROLMENT_TTL = 900.0
"""Seconds in which an enrolment has to be confirmed."""
TRIES = 50
"""How often a code is tried again because another one was used at the same time."""
MAX_CODE = 64
HAS_ONE = "The account has a second factor: disable it first."
WRONG = "The code is wrong, or has been used."


class Factor(msgspec.Struct, frozen=True):
    """The second factor of an account: its encrypted secret, the last step that counted, recovery codes."""

    secret: bytes
    step: int
    recovery: list[bytes]
    since: float
    nonce: bytes = b""
    """Tells what two uses have written apart."""


class Checked(NamedTuple):
    """A code that was right: how many recovery codes are left, if it was one; its use; and of which factor.

    ``since`` tells the second factors of an account apart.
    """

    left: int | None
    use: Use
    since: float


class SecondFactor:
    """The second factors of a service: rules over its accounts and records.

    ``issuer`` is what an authenticator app shows beside the user.
    """

    def __init__(self, accounts: AccountStore, records: RecordStore, box: SecretBox, issuer: str) -> None:
        self._accounts = accounts
        self._records = records
        self._box = box
        self._issuer = issuer
        self._uses = Uses(records)
        self.tickets = LoginTickets(records)
        self.devices = Devices(records)

    async def close(self) -> None:
        """Wait until the last codes are given back."""
        await self._uses.close()

    async def require(self, user_id: str, device: str | None) -> None:
        """Raise ``SecondFactorRequired`` for a login that needs a second step.

        Without a second factor, and on a remembered device, it needs none.
        """
        if isinstance(self._records, NoRecords):  # a store of the author's, in which nobody can enrol
            return
        record = await self._current(user_id)
        if record is None:
            return
        mark = await self._mark(user_id, record)
        if device is not None and await self.devices.knows(user_id, mark, device):
            return
        raise SecondFactorRequired(ticket=await self.tickets.issue(user_id, mark))

    async def check(self, user_id: str, code: str) -> Checked:
        """Use a code or a recovery code up. Raises ``InvalidCredentials``.

        ``sessions.attempts.second_step`` stands around it. What follows from it belongs into a block
        ``use.given_back_unless_done()``.
        """
        code = as_shown(code)
        for _ in range(TRIES):
            record = await self._current(user_id)
            if record is None:
                break
            before = _read(record)
            after = self._used(user_id, before, code)
            if after is None:
                break
            if (use := await self._uses.use(record, _value(after))) is not None:
                left = len(after.recovery) if len(after.recovery) < len(before.recovery) else None
                return Checked(left, use, before.since)
        else:
            raise Unavailable
        raise InvalidCredentials(WRONG)

    async def enrol(self, user_id: str) -> dict[str, str]:
        """A new secret, which counts once it is confirmed. Raises ``InvalidParameters`` if there is one."""
        if await self._current(user_id) is not None:
            raise InvalidParameters(HAS_ONE)
        secret = new_secret()
        stored = self._box.encrypt(secret, _purpose(user_id))
        expires = time.time() + ENROLMENT_TTL
        await self._records.put_record(Record(ENROLMENT, _key(user_id), user_id, stored, expires))
        return {"secret": text_of(secret), "uri": otpauth_uri(secret, self._issuer, user_id)}

    async def confirm(self, user_id: str, code: str) -> list[str]:
        """Turn the second factor on, if the code is that of the new secret; ten recovery codes, this once.

        Raises ``InvalidParameters`` without enrolment, and ``InvalidCredentials``.
        """
        enrolment = await self._current(user_id, ENROLMENT)
        if enrolment is None:
            raise InvalidParameters("There is no enrolment, or it has expired: enrol first.")
        secret = self._box.decrypt(enrolment.value, _purpose(user_id))
        code = as_shown(code)
        step = matching_step(secret, code, time.time(), 0) if is_code(code) else None
        if step is None:
            raise InvalidCredentials(WRONG)
        codes = new_recovery_codes()
        factor = Factor(enrolment.value, step, [hash_of_code(each) for each in codes], time.time())
        confirmed = Record(KIND, _key(user_id), user_id, _value(factor))
        try:
            # Of several confirmations at the same time one has the codes that count.
            if not await self._records.add_record(confirmed):
                raise InvalidParameters(HAS_ONE)
            # Afterwards: a process that was stopped turns nothing on that was used, or disabled, meanwhile.
            if not await self._records.remove_record(ENROLMENT, enrolment.key, enrolment.version):
                raise InvalidParameters("The enrolment is used up: enrol again.")
        except BaseException:
            await self._records.remove_record(KIND, confirmed.key, confirmed.version)
            raise
        return codes

    async def disable(self, user_id: str, checked: Checked | None = None) -> bool:
        """Turn it off, and forget devices and logins in progress. Returns False if there was none.

        Raises ``InvalidCredentials`` if it is not the one whose code was ``checked``.
        """
        _require_same(await self._current(user_id), checked)
        # First what goes with it: if that fails, the call can be repeated, and its code is one all the same.
        await self._records.remove_record(ENROLMENT, _key(user_id))
        await self._records.remove_records(user_id, TICKETS)
        await self.devices.forget_all(user_id)
        for _ in range(TRIES):
            record = await self._current(user_id)
            _require_same(record, checked)
            if record is None:
                return False
            if await self._records.remove_record(KIND, record.key, record.version):
                return True
        raise Unavailable

    async def renew_recovery_codes(self, user_id: str, checked: Checked | None = None) -> list[str]:
        """Ten new recovery codes, in place of the ones before.

        Raises ``InvalidCredentials`` without a second factor, or if another one's code was ``checked``.
        """
        codes = new_recovery_codes()
        hashes = [hash_of_code(each) for each in codes]
        for _ in range(TRIES):
            record = await self._current(user_id)
            if record is None:
                raise InvalidCredentials(WRONG)
            _require_same(record, checked)
            if await self._uses.use(record, _value(replace(_read(record), recovery=hashes))):
                return codes
        raise Unavailable

    async def describe(self, user_id: str) -> dict[str, Any]:
        """What a user may know about it."""
        record = await self._current(user_id)
        if record is None:
            return {"enabled": False, "since": None, "recovery_codes": 0}
        factor = _read(record)
        return {"enabled": True, "since": factor.since, "recovery_codes": len(factor.recovery)}

    async def mark(self, user_id: str) -> bytes:
        """What changes with the password and the second factor of an account: tickets and devices end."""
        return await self._mark(user_id, await self._current(user_id))

    async def _mark(self, user_id: str, record: Record | None) -> bytes:
        account = await self._accounts.get_account(user_id)
        credentials = "gone" if account is None else credentials_of(account)
        since = None if record is None else _read(record).since
        return hashlib.sha256(f"{since} {credentials}".encode()).digest()

    async def _current(self, user_id: str, kind: str = KIND) -> Record | None:
        return await self._records.get_record(kind, _key(user_id))

    def _used(self, user_id: str, factor: Factor, code: str) -> Factor | None:
        """The factor after the use of a code; None if the code is wrong.

        Raises ``UndecryptableError`` for a code, not for a recovery code, which no key has encrypted.
        """
        if not is_code(code):
            left = [each for each in factor.recovery if each != hash_of_code(code[:MAX_CODE])]
            return replace(factor, recovery=left) if len(left) < len(factor.recovery) else None
        secret = self._box.decrypt(factor.secret, _purpose(user_id))
        step = matching_step(secret, code, time.time(), factor.step)
        if step is None:
            return None
        # Encrypted anew, and so with the first of the keys.
        return replace(factor, step=step, secret=self._box.encrypt(secret, _purpose(user_id)))


def _key(user_id: str) -> str:
    """A hash, as a user id may have more bytes than the key of a record."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def _purpose(user_id: str) -> str:
    return f"totp of {user_id}"


def _require_same(record: Record | None, checked: Checked | None) -> None:
    if record is not None and checked is not None and _read(record).since != checked.since:
        raise InvalidCredentials(WRONG)


def _value(factor: Factor) -> bytes:
    return msgspec.msgpack.encode(replace(factor, nonce=secrets.token_bytes(8)))


def _read(record: Record) -> Factor:
    return msgspec.msgpack.decode(record.value, type=Factor)
