"""Many calls in one request: ``{"batch": {id: call}}`` -> ``{"batch": {id: {"result" | "error"}}}``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from aiohttp import web

from toto_aio.auth.caller import Caller
from toto_aio.codecs import Codec
from toto_aio.dispatch.call import REPLAYED, Call, ClientDisconnectedError, make_call
from toto_aio.dispatch.client_limit import MEMBER, bring_forward, end_of_member
from toto_aio.dispatch.dispatcher import Dispatch, wire_error
from toto_aio.exceptions import InvalidParameters
from toto_aio.http.envelope import envelope
from toto_aio.http.reply import HTTPReply
from toto_aio.settings import Settings
from toto_aio.tasks import work_through


class Batches:
    """Runs the batches of one app."""

    def __init__(self, settings: Settings, dispatch: Dispatch) -> None:
        self._limit = settings.batch_limit
        self._concurrency = settings.batch_concurrency
        self._debug = settings.debug
        self._dispatch = dispatch

    async def run(
        self, codec: Codec, entries: Any, caller: Caller, reply: HTTPReply, ends: float | None = None
    ) -> bytes:
        """The body of the response to a batch, whose client waits until it ``ends``, if it has said so.

        Raises ``InvalidParameters`` (400) for what isn't a batch, or has too many calls.
        """
        if not isinstance(entries, dict):
            raise InvalidParameters("A batch must be an object of calls.", status=400)
        if len(entries) > self._limit:
            raise InvalidParameters(f"A batch has at most {self._limit} calls.", status=400)
        reply.alone, reply.shared = False, True
        ids = sorted(entries)
        outcomes: dict[str, Any] = dict.fromkeys(ids)
        worker = partial(self._answer, codec, entries, outcomes, caller, reply, ends)
        await work_through(ids, worker, self._concurrency, "batch")
        try:
            return codec.encode_again(envelope("batch", outcomes, caller))
        except Exception:  # a result that can't be encoded is an error of its own call only
            for call_id, outcome in outcomes.items():
                outcomes[call_id] = self._plain(codec, outcome, entries[call_id], reply)
            return codec.encode(envelope("batch", outcomes, caller))

    async def _answer(
        self,
        codec: Codec,
        entries: dict[str, Any],
        outcomes: dict[str, Any],
        caller: Caller,
        reply: HTTPReply,
        ends: float | None,
        ids: Iterator[str],
    ) -> None:
        """Put the results or the errors of entries among the outcomes."""
        for call_id in ids:  # here, as a coroutine for each entry would be a twentieth of its cost
            entry, call = entries[call_id], None
            try:
                if not isinstance(entry, dict):
                    raise InvalidParameters("A call must be an object.")
                call = make_call(entry)
                call.message, call.binary = entry, codec.binary
                # Without the key for them, the whole entry is the parameters.
                if MEMBER in entry and entry[MEMBER] is not None and "parameters" in entry:
                    call.ends = end_of_member(entry[MEMBER])
                if ends is not None:
                    bring_forward(call, ends)
                outcome = {"result": await self._dispatch(call, caller, reply)}
            except ClientDisconnectedError:
                outcome = {"result": None}  # nobody reads it
            except Exception as exc:
                outcome = self._failure(exc, call or Call(), codec, reply)
            if call is not None and call.replayed:
                outcome |= REPLAYED
            outcomes[call_id] = outcome

    def _plain(
        self, codec: Codec, outcome: dict[str, Any], entry: dict[str, Any], reply: HTTPReply
    ) -> dict[str, Any]:
        """An outcome as plain data, or the error that it can't be encoded."""
        try:
            plain: dict[str, Any] = codec.plain(outcome)
            return plain
        except Exception as exc:
            return self._failure(exc, make_call(entry), codec, reply)

    def _failure(self, exc: Exception, call: Call, codec: Codec, reply: HTTPReply) -> dict[str, Any]:
        """The outcome of a call that has raised this."""
        if isinstance(exc, web.HTTPException):
            exc = InvalidParameters(f"'{call.name}' answers with bytes of its own: call it alone.")
        return {"error": wire_error(exc, call, reply, codec=codec, debug=self._debug).as_dict()}
