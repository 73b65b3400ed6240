"""The responses to messages of JSON-RPC: single requests, batches and notifications."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from aiohttp import web

from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.codecs import Codec
from toto_aio.dispatch.answers import OWN_BYTES, needs_its_own
from toto_aio.dispatch.call import REPLAYED, Call, ClientDisconnectedError
from toto_aio.dispatch.call_log import Source
from toto_aio.dispatch.client_limit import end_after
from toto_aio.dispatch.dispatcher import wire_error
from toto_aio.dispatch.method import Method
from toto_aio.exceptions import InvalidParameters, TotoException
from toto_aio.jsonrpc.messages import InvalidRequestError, failure, read_request, success
from toto_aio.settings import Settings, SettingsError
from toto_aio.tasks import work_through

logger = logging.getLogger(__name__)

PATH = "rpc"
"""Where it is spoken over HTTP, below the root."""

Run = Callable[[Call], Awaitable[tuple[Any, UserSession | None]]]
"""How a transport runs a call: the result, and the session that it has made, if any. Raises its error."""


class Answered:
    """One call of a message with its response, which may turn out to be unsendable."""

    __slots__ = ("call", "is_notification", "response")

    def __init__(self, call: Call, response: dict[str, Any], *, is_notification: bool) -> None:
        self.call = call
        self.response = response
        self.is_notification = is_notification


class JSONRPC:
    """Responds to the messages of one app; ``has_path``: also below the root, at ``rpc``."""

    def __init__(self, settings: Settings, methods: Mapping[str, Method], *, has_path: bool) -> None:
        self.has_path = has_path
        self._limit = settings.batch_limit
        self._concurrency = settings.batch_concurrency
        self._debug = settings.debug
        self._methods = methods

    async def respond(self, message: Any, codec: Codec, run: Run, source: Source) -> bytes | None:
        """The body of the response to a message; None if that was notifications only."""
        if type(message) is not list:
            one = await self._answer(message, codec, run, source)
            return None if one.is_notification else self._encoded(codec, one, source)
        if not message:
            return self.refused(InvalidRequestError("A batch must not be empty."), codec, source)
        if len(message) > self._limit:
            error = InvalidRequestError(f"A batch has at most {self._limit} calls.")
            return self.refused(error, codec, source)
        found: list[Any] = [None] * len(message)

        async def answer(numbers: Iterator[int]) -> None:
            for number in numbers:
                found[number] = await self._answer(message[number], codec, run, source)

        await work_through(range(len(message)), answer, self._concurrency, "json-rpc")
        answers = [each for each in found if not each.is_notification]
        return self._encoded_batch(codec, answers, source) if answers else None

    def refused(self, exc: Exception, codec: Codec, source: Source) -> bytes:
        """The body of the response to something that is not a message, or may not be one."""
        error = self._error(exc, Call(), codec, source)
        return codec.encode(failure(error, None, is_call=False))

    async def _answer(self, message: Any, codec: Codec, run: Run, source: Source) -> Answered:
        call = Call()
        request_id, is_notification = None, False
        try:
            request = read_request(message)
            request_id, is_notification = request.id, request.is_notification
            call.name, call.binary, call.message = request.method, codec.binary, message
            if request.timeout is not None:
                call.ends = end_after(request.timeout)
            call.parameters = self._named(request.method, request.params)
            result, made = await run(call)
            if type(result) in OWN_BYTES:
                raise needs_its_own(call.method)
            response = success(result, request_id, None if made is None else made.describe())
        except InvalidRequestError as exc:
            response = failure(self._error(exc, call, codec, source), exc.id)
        except ClientDisconnectedError:
            response, is_notification = {}, True  # nobody reads it
        except web.HTTPException:  # a method that uses aiohttp's exceptions
            response = failure(self._error(needs_its_own(call.method), call, codec, source), request_id)
        except Exception as exc:
            response = failure(self._error(exc, call, codec, source), request_id)
        if call.replayed:
            response |= REPLAYED
        return Answered(call, response, is_notification=is_notification)

    def _named(self, method: str, params: dict[str, Any] | list[Any]) -> dict[str, Any]:
        """The parameters by name. Raises ``InvalidParameters`` for those by position that have no names."""
        if type(params) is dict:
            return params
        found = self._methods.get(method)
        if found is None or not params:
            return {}
        if found.signature is None:
            raise InvalidParameters(f"'{method}' takes its parameters by name: write params as an object.")
        names = [each.name for each in found.signature.parameters if not each.by_keyword]
        if len(params) > len(names):
            raise InvalidParameters(f"'{method}' takes at most {len(names)} parameters by position.")
        return dict(zip(names, params, strict=False))

    def _error(self, exc: Exception, call: Call, codec: Codec, source: Source) -> TotoException:
        return wire_error(exc, call, source, codec=codec, debug=self._debug)

    def _encoded(self, codec: Codec, answer: Answered, source: Source) -> bytes:
        try:
            return codec.encode(answer.response)
        except Exception as exc:
            error = self._error(exc, answer.call, codec, source)
            return codec.encode(failure(error, answer.response["id"]))

    def _encoded_batch(self, codec: Codec, answers: list[Answered], source: Source) -> bytes:
        try:
            return codec.encode_again([answer.response for answer in answers])
        except Exception:  # a result that can't be encoded is an error of its own call only
            return codec.encode([self._plain(codec, answer, source) for answer in answers])

    def _plain(self, codec: Codec, answer: Answered, source: Source) -> Any:
        try:
            return codec.plain(answer.response)
        except Exception as exc:
            return failure(self._error(exc, answer.call, codec, source), answer.response["id"])


def made_session(before: UserSession | None, caller: Caller) -> UserSession | None:
    """The session that a call has made, if it has: ``before`` is the one that there was."""
    session = caller.session
    return session if session is not None and session is not before and session.is_new else None


def open_rpc(settings: Settings, methods: Mapping[str, Method]) -> JSONRPC | None:
    """What responds to JSON-RPC, unless the option ``json_rpc`` turns it off.

    Raises ``SettingsError`` if it was asked for where it can't be.
    """
    if settings.json_rpc == "off":
        return None
    wrong = ""
    if settings.method_select == "url":  # its bodies name methods
        wrong = "method_select=url lets no body name a method"
    elif PATH in methods and settings.method_select != "parameter":
        wrong = f"{PATH!r} is a method already, which stays"
    if wrong and settings.json_rpc == "on":
        raise SettingsError(f"json_rpc: {wrong}: write json_rpc=off, or change the other")
    if wrong and PATH in methods:
        logger.warning("no JSON-RPC over HTTP: %s; rename it, or write json_rpc=off", wrong)
    return JSONRPC(settings, methods, has_path=not wrong)
