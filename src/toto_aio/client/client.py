"""``Client``: calls the methods of a service, with the session of one user, and signs and verifies.

    async with Client("http://127.0.0.1:8888/service") as client:
        await client.create_account("ada", "correct horse")
        print(await client.call("count"))

``toto_aio.client.line`` sends the requests, with the session that they show.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp import hdrs
from yarl import URL

from toto_aio.channels import Position
from toto_aio.client.form import Files, encode_form
from toto_aio.client.line import Line
from toto_aio.client.protocol import (
    DEFAULT_TIMEOUT,
    Response,
    SessionCredentials,
    UnreadableResponseError,
    as_shown,
    codec_named,
    method_url,
    result_or_error,
)
from toto_aio.client.retry import retried
from toto_aio.client.socket import ClientSocket
from toto_aio.client.subscription import ClientSubscription
from toto_aio.exceptions import InvalidResponseHMAC, TotoException
from toto_aio.members import Member
from toto_aio.signing import SCHEMES

__all__ = ["Client", "ClientSocket", "Response", "SessionCredentials", "UnreadableResponseError"]


class Client:
    """Calls the methods of the service at ``url``, after a login with its session.

    ``signing`` is the service's option of that name; ``encoding`` is ``json``, ``msgpack`` or ``bson``; a
    call may take ``timeout`` seconds, which the service is told if they are fewer than 60. Until there is a
    session, calls show the ``api_key``, if there is one, and nothing is signed. ``http`` is an aiohttp
    session to use, which stays open. A call raises the ``TotoException`` that the service responds with,
    ``InvalidResponseHMAC`` if the signature of the response is wrong or missing, aiohttp's ``ClientError`` if
    there is no response or it is not one of a service, and ``TimeoutError``.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        signing: str = "user_id",
        encoding: str = "json",
        session: SessionCredentials | None = None,
        api_key: str = "",
        timeout: float = DEFAULT_TIMEOUT,
        http: aiohttp.ClientSession | None = None,
    ) -> None:
        if signing not in SCHEMES:
            raise ValueError(f"signing: write one of {', '.join(SCHEMES)}, not {signing!r}")
        if api_key and session is not None:
            raise ValueError("api_key: write an API key or a session, not both")
        self.url = URL(str(url).rstrip("/"))
        self._encoding = encoding
        self._line = Line(
            signing=signing,
            codec=codec_named(encoding),
            session=session,
            api_key=api_key,
            timeout=timeout,
            http=http,
        )

    @property
    def session(self) -> SessionCredentials | None:
        """The session, once there is one. You can store it, and set it again later."""
        return self._line.session

    @session.setter
    def session(self, session: SessionCredentials | None) -> None:
        self._line.session = session

    async def __aenter__(self) -> Self:
        self._line.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, unless they belong to an aiohttp session passed as ``http``."""
        await self._line.close()

    def another(self) -> Client:
        """A client of the same service for another user, over the same connections; it need not be closed."""
        return Client(
            self.url,
            signing=self._line.signing,
            encoding=self._encoding,
            timeout=self._line.timeout,
            http=self._line.http,
        )

    async def call(
        self,
        method: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        files: Files | None = None,
        idempotent: bool = False,
        idempotency_key: str | None = None,
    ) -> Any:
        """Call a method and return its result.

        With ``files``, lists of ``toto_aio.File`` by the names of their parameters, a form is sent: the other
        parameters arrive as text. Raises ``ValueError`` for an object or None among them.
        ``idempotency_key`` names the call of a method marked ``@idempotent``, for those that repeat it. With
        ``idempotent`` the client does both: the call of a user gets a key of its own, and is sent up to three
        times, in ``timeout`` seconds in all, if no response comes. Callers who are not users cannot have a
        key, and their calls are sent once.
        """
        if not idempotent or idempotency_key is not None or not self._line.is_of_user:
            return _result(await self.fetch(method, parameters, files=files, idempotency_key=idempotency_key))
        key = secrets.token_hex(16)
        async with asyncio.timeout(self._line.timeout):
            response = await retried(lambda: self.fetch(method, parameters, files=files, idempotency_key=key))
        return _result(response)

    async def get(self, method: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Call a method marked ``@safe`` by GET. Its parameters arrive as strings, or lists of strings."""
        return _result(await self._line.exchange(hdrs.METH_GET, method_url(self.url, method, parameters)))

    async def fetch(
        self,
        method: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        files: Files | None = None,
        idempotency_key: str | None = None,
        unsigned: bool = False,
    ) -> Response:
        """Call a method and return the response as received, such as a raw response; follows no redirect.

        ``files`` and ``idempotency_key`` are those of ``call``. With ``signing=session`` or ``toto1``, a
        stream or a redirect needs ``unsigned=True``: a service signs neither, so that nobody knows who has
        sent it.
        """
        given = dict(parameters or {})
        url, named = method_url(self.url, method), [given.get("session_id")]
        headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
        if files:
            content_type, body = encode_form(given, files)
            return await self._line.exchange(
                hdrs.METH_POST,
                url,
                body,
                named,
                content_type=content_type,
                headers=headers,
                unsigned=unsigned,
            )
        message = {"method": method, "parameters": given}
        return await self._line.post(url, message, named, headers=headers, unsigned=unsigned)

    async def openapi(self) -> dict[str, Any] | None:
        """The service's OpenAPI document; None if it has none, or has none for this session.

        No service signs it: only TLS shows who has sent it.
        """
        try:
            response = await self._line.exchange(
                hdrs.METH_GET, URL(f"{self.url}/openapi.json", encoded=True), unsigned=True
            )
            document = msgspec.json.decode(response.body) if response.status == 200 else None
        except (TotoException, InvalidResponseHMAC, UnreadableResponseError, ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) and "openapi" in document else None

    async def batch(self, calls: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Make many calls in one request: ``{id: {"method": ..., "parameters": {...}}}``, by order of id.

        A call may have an ``"idempotency_key"``. Returns the result of each id, or the ``TotoException`` of a
        call that failed.
        """
        # An entry without parameters would itself be taken for them.
        entries = {call_id: {"parameters": {}, **call} for call_id, call in calls.items()}
        named = [(entry["parameters"] or {}).get("session_id") for entry in entries.values()]
        results = _member(await self._line.post(self.url, {"batch": entries}, named), "batch")
        return {call_id: result_or_error(results.get(call_id)) for call_id in calls}

    async def create_account(self, user_id: str, password: str, **values: Any) -> None:
        """Create an account and log in to it; ``values`` are custom fields that ``account_fields`` allows."""
        await self._log_in("account.create", {"user_id": user_id, "password": password, **values})

    async def login(self, user_id: str, password: str, *, device: str | None = None) -> None:
        """Log in; the following calls use the new session.

        If the account has a second factor, this raises ``SecondFactorRequired``: give its ``ticket`` and the
        code to ``finish_login``. ``device`` is the token of a device that is remembered.
        """
        known = {} if device is None else {"device": device}
        await self._log_in("account.login", {"user_id": user_id, "password": password, **known})

    async def finish_login(self, ticket: str, code: str, *, remember: bool = False) -> str | None:
        """Log in by the second step, with a code of the second factor or a recovery code.

        With ``remember`` it returns the token of this device, with which ``login`` has one step for 30 days:
        keep it in a safe place. Raises ``InvalidCredentials`` for a wrong code, ``NotAuthorized`` if the
        ticket has expired, and ``TooManyAttempts``.
        """
        parameters = {"ticket": ticket, "code": code, "remember": remember}
        response = await self._log_in("account.totp.login", parameters)
        device = (response.message or {}).get("result", {}).get("device")
        return device if isinstance(device, str) else None

    async def logout(self) -> None:
        """End the session."""
        await self.call("account.logout")
        self.session = None

    @asynccontextmanager
    async def socket(self, path: str | None = None) -> AsyncIterator[ClientSocket]:
        """Open a WebSocket with the session; ``path`` is the service's ``socket_path``, if it is set."""
        url = self.url / "websocket" if path is None else self.url.with_path(path)
        async with self._line.socket(url, packed=self._encoding == "msgpack") as socket:
            yield socket

    @asynccontextmanager
    async def subscribe(
        self,
        channel: str,
        since: Position | None = None,
        *,
        on_missed: Callable[[], None] | None = None,
        on_join: Callable[[Member], None] | None = None,
        on_leave: Callable[[Member], None] | None = None,
        path: str | None = None,
    ) -> AsyncIterator[ClientSubscription]:
        """Subscribe to a channel, over a socket of its own, until the end of the block.

        What was published after the position ``since`` comes first. ``on_missed`` is called when that, or
        what was published during a lost connection, can't be made up; ``on_join`` and ``on_leave`` with who
        comes and goes, if the channel tells that. Raises the ``TotoException`` of a service that refuses;
        ``path`` and other errors are those of ``socket``.
        """
        subscription = ClientSubscription(
            lambda: self.socket(path), channel, since, on_missed, on_join, on_leave
        )
        await subscription.open()
        try:
            yield subscription
        finally:
            await subscription.close()

    async def _log_in(self, method: str, parameters: Mapping[str, Any]) -> Response:
        message = {"method": method, "parameters": parameters}
        response = await self._line.post(method_url(self.url, method), message, (), logs_in=True)
        if response.session is None:
            if response.message is None:
                raise UnreadableResponseError(f"The response is not one of a service: {as_shown(response)}")
            raise UnreadableResponseError("The service responds to the login without a session")
        return response


def _result(response: Response) -> Any:
    return _member(response, "result")


def _member(response: Response, name: str) -> Any:
    """A required member of a response. Raises ``UnreadableResponseError``."""
    if response.message is None or name not in response.message:
        raw = "; use client.fetch for a raw response" if response.status < 400 else ""
        raise UnreadableResponseError(f"The response has no {name}: {as_shown(response)}{raw}")
    return response.message[name]
