"""Idempotency keys: a method marked ``@idempotent`` runs at most once for each key of its caller.

A record of the kind ``call`` stands for each key that a user has used with a method: it is added before the
method runs, which one process can do, and has the outcome afterwards. What the method does in
``handler.transaction()`` never counts twice: the record is marked on its connection, and committed with it.

How is a call that was cut off told from one in flight? No call lasts longer than its time limit, so the
record has the time at which this one must be over. A repeat after that finds out what is known: a call that
was in a transaction, or does nothing outside of one, was rolled back, so the repeat runs in its place; of any
other call nobody knows what it did. A method may catch the error of a transaction that was rolled back, and
do something else; so the key says that it is outside again before it learns of the error, and if the key
cannot say so, the call ends there (``EndsCallError``). Nothing goes wrong if the first call lives after all,
as the clocks of two machines may differ: each write is onto the version of the record that its writer has,
also that in the transaction, which then is rolled back. No record is removed when its key is free again, so
that an addition which comes late finds it there.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from toto_aio.codecs import Codec
from toto_aio.codecs.converter import EncodingError, ReadOnceError
from toto_aio.dispatch.answers import OWN_BYTES
from toto_aio.dispatch.call import MEMBER
from toto_aio.dispatch.claim import Claim
from toto_aio.dispatch.kept_results import KeptResults, NotKeptError
from toto_aio.dispatch.key_entry import (
    ENDS,
    FREE,
    LAPSES,
    MEANINGS,
    Entry,
    State,
    after,
    digest,
    key_bytes,
    pack,
    unpack,
)
from toto_aio.exceptions import (
    CallInProgress,
    InvalidParameters,
    KeyReused,
    NotAuthorized,
    OutcomeUnknown,
    TotoException,
    Unavailable,
    described,
)
from toto_aio.models import NEVER, Record
from toto_aio.settings import SettingsError
from toto_aio.stores.records import NoRecords, RecordStore, records_of
from toto_aio.tasks import Tasks

if TYPE_CHECKING:
    from toto_aio.dispatch.handler import Handler
    from toto_aio.dispatch.method import Method

logger = logging.getLogger(__name__)

HEADER = "idempotency-key"
REPLAYED = "idempotent-replayed"
MAX_KEY = 255
"""The most bytes of a key."""
KEPT = 24 * 3600.0
"""Seconds for which a key is kept, from the first call on, or as long as a call may take."""
MARGIN = 1.0
"""Seconds after the limit of a call in which it ends: the poll of the limits, and the last write."""
CLOSE_LIMIT = 5.0
"""Seconds that the last writes may take when the service ends."""
KIND = "call"


class Plan(NamedTuple):
    """What is known of a method: the seconds that a call may take, and what its decorator says."""

    limit: float
    secret: bool
    transactional: bool


class Keys:
    """The idempotency keys of one app, kept in its database."""

    def __init__(self, records: RecordStore, results: KeptResults) -> None:
        self.records = records
        self._results = results
        self._tasks = Tasks()

    async def close(self) -> None:
        """Wait for the last writes."""
        await self._tasks.finish(CLOSE_LIMIT)

    async def once(
        self, key: str, handler: Handler, parameters: Any, plan: Plan, run: Callable[[], Awaitable[Any]]
    ) -> Any:
        """The result of ``run``, or what it was the first time. Raises the error in the same way.

        Raises ``CallInProgress``, ``KeyReused`` and ``OutcomeUnknown``, and ``NotAuthorized`` without a user.
        """
        user_id = await _user_of(handler)
        parts = user_id, handler.call.method, key
        name = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()
        until = time.time() + plan.limit + MARGIN
        state = State.IN_TRANSACTION if plan.transactional else State.RUNNING
        entry = Entry(state, until, digest(key, parameters), nonce=secrets.token_bytes(8))
        # A key outlasts its call, so that no repeat runs beside it.
        expires = min(NEVER, time.time() + max(KEPT, plan.limit + MARGIN))
        record = Record(KIND, name, user_id, pack(entry), expires)
        while True:
            if await self._place(record, self.records.add_record):
                return await self._run(Claim(self.records, record, entry), handler, plan, run)
            found = await self.records.get_record(KIND, name)
            if found is None:
                continue  # it has just expired
            first = unpack(found.value)
            if first.state is not State.FREE:
                if first.digest != entry.digest:
                    raise KeyReused
                if first.state in (State.RESULT, State.ERROR):
                    return _replayed(first, handler, self._results)
                if first.state in ENDS or (first.until <= time.time() and first.state in LAPSES):
                    raise OutcomeUnknown(MEANINGS[first.state])
                if first.until > time.time():
                    raise CallInProgress
            # It has failed, or its transaction was rolled back, or will be: this call takes its place.
            taken = replace(record, version=found.version)
            if await self._place(taken, self.records.save_record):
                taken.version += 1
                return await self._run(Claim(self.records, taken, entry), handler, plan, run)

    async def _place(self, record: Record, write: Callable[[Record], Awaitable[bool]]) -> bool:
        try:
            return await write(record)
        except BaseException:  # it may have been written, and nothing will run
            self._tasks.start(self._withdraw(record, write), "idempotency key")
            raise

    async def _withdraw(self, record: Record, write: Callable[[Record], Awaitable[bool]]) -> None:
        """Make the key free; a write that is still on its way to the store comes too late then."""
        try:
            if not await write(replace(record, value=pack(FREE))):
                found = await self.records.get_record(record.kind, record.key)
                if found is not None and found.value == record.value:
                    await self.records.save_record(replace(found, value=pack(FREE)))
        except Unavailable as exc:
            _log(exc)

    async def _run(
        self, claim: Claim, handler: Handler, plan: Plan, run: Callable[[], Awaitable[Any]]
    ) -> Any:
        handler.claim = claim
        try:
            result = await run()
            if handler.responded:
                result = await handler.given()
        except BaseException as exc:
            error = claim.outcome_of(exc)
            change = after(error, claim.entry_after(exc), partial(self._pack, handler))
            writing = self._tasks.start(_write(claim, change), "idempotency key")
            if isinstance(error, Exception):  # a call that was cut off has no time left
                await asyncio.wait([writing])
            if error is exc:
                raise
            raise error from error.__cause__
        finally:
            handler.claim = None
        kept = Entry(State.CARRIED_OUT, 0, claim.entry.digest)
        unsendable: EncodingError | None = None
        if type(result) not in OWN_BYTES and not plan.secret:
            try:
                packed, result = self._packed(handler, result)
                if packed is not None:
                    outcome, name = packed
                    status = _status_of(handler)
                    kept = Entry(State.RESULT, 0, kept.digest, outcome, status=status, content_type=name)
            except EncodingError as exc:  # of what the transport cannot read again
                unsendable = exc
        writing = self._tasks.start(_write(claim, kept), "idempotency key")
        await asyncio.wait([writing])  # it goes on if the limit comes now
        if unsendable is not None:
            raise unsendable
        return result

    def _packed(self, handler: Handler, result: Any) -> tuple[tuple[bytes, str] | None, Any]:
        """A result as it is kept, and as it is to be sent, as a generator can be read once.

        Raises ``EncodingError`` for one with a generator that cannot be sent, which is read by then.
        """
        for _ in range(2):
            try:
                return self._pack(handler, result), result
            except ReadOnceError:
                result = self._results.plain(result, handler.response_type, binary=handler.call.binary)
            except Exception:  # the transport says what is wrong with it, or it is not kept
                break
        return None, result

    def _pack(self, handler: Handler, outcome: Any) -> tuple[bytes, str]:
        try:
            return self._results.pack(outcome, handler.response_type, binary=handler.call.binary)
        except NotKeptError as exc:
            logger.warning(
                "the outcome of %r is not kept, and a repeat gets error 1016: %s", handler.call.method, exc
            )
            raise


def open_keys(methods: Mapping[str, Method], database: Any, codecs: Mapping[str, Codec]) -> Keys:
    """The keys of a service in its database. Raises ``SettingsError`` if that keeps no records."""
    records = records_of(database)
    if isinstance(records, NoRecords):
        name = next(method.name for method in methods.values() if method.rules.idempotent)
        raise SettingsError(f"database: {name!r} is @idempotent. {records.reason}")
    return Keys(records, KeptResults(codecs))


def idempotent_invoke(
    invoke: Callable[[Any, dict[str, Any]], Any], plan: Plan, *, threaded: bool
) -> Callable[[Any, dict[str, Any]], Awaitable[Any]]:
    """The ``invoke`` of a method whose calls may have a key."""

    async def run(handler: Handler, parameters: dict[str, Any]) -> Any:
        if threaded:
            return await handler.in_thread(invoke, parameters)
        result = invoke(handler, parameters)
        return await result if inspect.isawaitable(result) else result

    async def called(handler: Handler, parameters: dict[str, Any]) -> Any:
        key = _key_of(handler, parameters)
        if key is None:
            return await run(handler, parameters)
        return await handler.keys.once(key, handler, parameters, plan, partial(run, handler, parameters))

    return called


def _key_of(handler: Handler, parameters: dict[str, Any]) -> str | None:
    """The key of a call, if it has one: a member of its message, or the header of a request with one call."""
    call = handler.call
    found: list[Any] = []
    if call.message is not None and MEMBER in call.message:
        found = [call.message[MEMBER]]
        if call.message is parameters:
            del parameters[MEMBER]
    elif not handler.reply.shared:
        found = list(handler.reply.header(HEADER))
    if not found or found == [None]:
        return None
    key = found[0]
    if len(found) > 1 or type(key) is not str or not 0 < len(key_bytes(key)) <= MAX_KEY:
        raise InvalidParameters(f"An idempotency key is one text of 1 to {MAX_KEY} bytes.")
    return key


async def _user_of(handler: Handler) -> str:
    session = handler.own_session or handler.caller.session or await handler.retrieve_session()
    if session is None or not session.user_id:
        raise NotAuthorized("An idempotency key needs a user: log in first.")
    return session.user_id


def _replayed(first: Entry, handler: Handler, results: KeptResults) -> Any:
    """The outcome of the first call, as that of this one."""
    handler.call.replayed = True
    if handler.reply.alone:
        handler.reply.set_header(REPLAYED, "true")
        if first.status is not None:
            handler.reply.set_status(first.status)
    if first.state is State.RESULT:
        return results.unpack(first.outcome, first.content_type)
    code, value, details, status = results.unpack(first.outcome, first.content_type)
    raise TotoException(code, value, details=details, status=status)


async def _write(claim: Claim, entry: Entry) -> None:
    """Write how a call has ended. If that fails, a repeat finds out when the call must be over."""
    try:
        await claim.save(entry)
    except Unavailable as exc:
        _log(exc)


def _log(exc: Unavailable) -> None:
    logger.warning(
        "the outcome of a call with an idempotency key is not kept: %s", described(exc.__cause__ or exc)
    )


def _status_of(handler: Handler) -> int | None:
    """The status that the method has set, of a response of its own."""
    return handler.reply.status if handler.reply.alone else None
