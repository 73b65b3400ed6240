"""``Client``: calls the methods of a service, with the session of one user, and signs and verifies.

    async with Client("http://127.0.0.1:8888/service") as client:
        await client.create_account("ada", "correct horse")
        print(await client.call("count"))

``toto_aio.client.protocol`` composes the requests and reads the responses; this module sends them.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Any

import aiohttp
import msgspec
from aiohttp import hdrs
from yarl import URL

from toto_aio.channels import Position
from toto_aio.client.form import Files, encode_form
from toto_aio.client.protocol import (
    DEFAULT_TIMEOUT,
    TIMEOUT_HEADER,
    Request,
    Response,
    SessionCredentials,
    UnreadableResponseError,
    codec_named,
    compose,
    error_of,
    method_url,
    result_or_error,
    told_limit,
    verify,
)
from toto_aio.client.retry import retried
from toto_aio.client.socket import ClientSocket, open_socket
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
    session to use, which stays open. A call raises
    the ``TotoException`` that the service responds with, ``InvalidResponseHMAC`` if the signature of the
    response is wrong or missing, aiohttp's ``ClientError`` if there is no response or it is not one of a
    service, and ``TimeoutError``.
    """

    session: SessionCredentials | None
    """The session, once there is one. You can store it, and set it again later."""

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
        self.session = session
        self._signing = signing
        self._api_key = api_key
        self._encoding = encoding
        self._codec = codec_named(encoding)
        self._timeout = timeout
        told = told_limit(timeout)
        self._told = {} if told is None else {TIMEOUT_HEADER: f"{told:.3f}"}
        self._http = http
        self._own_http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        if self._http is None:
            # The session is sent only in its header: a cookie could belong to another user.
            self._http = self._own_http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, unless they belong to an aiohttp session passed as ``http``."""
        if self._own_http is not None:
            await self._own_http.close()
            self._http = self._own_http = None

    def another(self) -> Client:
        """A client of the same service for another user, over the same connections; it need not be closed."""
        return Client(
            self.url,
            signing=self._signing,
            encoding=self._encoding,
            timeout=self._timeout,
            http=self._opened(),
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
        if not idempotent or idempotency_key is not None or not self._is_of_user():
            return _result(await self.fetch(method, parameters, files=files, idempotency_key=idempotency_key))
        key = secrets.token_hex(16)
        async with asyncio.timeout(self._timeout):
            response = await retried(lambda: self.fetch(method, parameters, files=files, idempotency_key=key))
        return _result(response)

    async def get(self, method: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Call a method marked ``@safe`` by GET. Its parameters arrive as strings, or lists of strings."""
        return _result(await self._exchange(hdrs.METH_GET, method_url(self.url, method, parameters)))

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
            return await self._exchange(
                hdrs.METH_POST,
                url,
                body,
                named,
                content_type=content_type,
                headers=headers,
                unsigned=unsigned,
            )
        message = {"method": method, "parameters": given}
        return await self._post(url, message, named, headers=headers, unsigned=unsigned)

    async def openapi(self) -> dict[str, Any] | None:
        """The service's OpenAPI document; None if it has none, or has none for this session.

        No service signs it: only TLS shows who has sent it.
        """
        try:
            response = await self._exchange(
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
        results = _member(await self._post(self.url, {"batch": entries}, named), "batch")
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
        request = compose(
            hdrs.METH_GET, url, signing=self._signing, session=self.session, api_key=self._api_key
        )
        current = self.session

        def adopt(session: SessionCredentials, named: Collection[Any]) -> None:
            nonlocal current
            kept = self.session
            keyed = self._signing in ("toto1", "session")
            if keyed and kept is not None and kept.session_id != session.session_id:
                return  # frames are not signed: none replaces a session that is
            current = self._adopt(session, current, named)

        packed = self._encoding == "msgpack"
        async with open_socket(
            self._opened(), request, packed=packed, timeout=self._timeout, on_session=adopt
        ) as socket:
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
        response = await self._post(method_url(self.url, method), message, (), logs_in=True)
        if response.session is None:
            raise UnreadableResponseError("The service responds to the login without a session")
        return response

    async def _post(
        self,
        url: URL,
        message: dict[str, Any],
        named: Collection[Any],
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        **accepted: bool,
    ) -> Response:
        body, content_type = self._codec.encode(message), self._codec.content_type
        return await self._exchange(
            hdrs.METH_POST, url, body, named, content_type=content_type, headers=headers, **accepted
        )

    async def _exchange(
        self,
        method: str,
        url: URL,
        body: bytes = b"",
        named: Collection[Any] = (),
        *,
        content_type: str = "",
        headers: Mapping[str, str] = MappingProxyType({}),
        **accepted: bool,
    ) -> Response:
        """Send a request, verify the response, and adopt its session. Raises the error in the response.

        ``accepted`` are arguments of ``verify``.
        """
        request = compose(
            method,
            url,
            signing=self._signing,
            session=self.session,
            api_key=self._api_key,
            content_type=content_type,
            body=body,
        )
        request.headers.update(headers)
        response = await self._send(request)
        is_signed = verify(request, response, named, **accepted)
        if is_signed and response.session is not None:
            self._adopt(response.session, request.session, named)
        if response.message is not None and "error" in response.message:
            error = error_of(response.message["error"], response.headers)
            error.unsigned = not is_signed
            raise error
        return response

    async def _send(self, request: Request) -> Response:
        async with self._opened().request(
            request.method,
            request.url,
            headers={**request.headers, **self._told},
            data=request.body or None,
            allow_redirects=False,  # another server must not receive the session
            raise_for_status=False,
            timeout=aiohttp.ClientTimeout(total=self._timeout),
        ) as response:
            return Response(response.status, response.content_type, response.headers, await response.read())

    def _adopt(
        self, shown: SessionCredentials, before: SessionCredentials | None, named: Collection[Any]
    ) -> SessionCredentials | None:
        """Adopt the session of a response if it is new. Returns the session that the connection now has.

        ``before`` is the session that it had; ``named`` are the session ids in the parameters of the call.
        """
        if before is not None and shown.session_id == before.session_id:
            if self.session is not None and shown.session_id == self.session.session_id:
                self.session = replace(self.session, expires=shown.expires)
            return before
        if shown.session_id in named:
            return before
        self.session = shown
        return shown

    def _is_of_user(self) -> bool:
        return bool(self._api_key) if self.session is None else bool(self.session.user_id)

    def _opened(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("The client is not open: write 'async with Client(...) as client:'")
        return self._http


def _result(response: Response) -> Any:
    return _member(response, "result")


def _member(response: Response, name: str) -> Any:
    """A required member of a response. Raises ``UnreadableResponseError``."""
    if response.message is None or name not in response.message:
        raise UnreadableResponseError(
            f"The response has no {name}: {response.status} {response.content_type}, {response.body[:80]!r}; "
            "use client.fetch for a raw response"
        )
    return response.message[name]
