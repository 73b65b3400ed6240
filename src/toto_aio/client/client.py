"""A client of a service: its methods are called, with the session of one user, signed and verified.

    async with Client("http://127.0.0.1:8888/service") as client:
        await client.create_account("ada", "correct horse")
        print(await client.call("count"))

``toto_aio.client.protocol`` knows what is sent and what comes back; here it is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import hdrs
from yarl import URL

from toto_aio.client.protocol import (
    Answer,
    Request,
    Session,
    UnreadableAnswerError,
    codec_named,
    compose,
    error_of,
    method_url,
    outcome,
    verify,
)
from toto_aio.client.socket import ClientSocket, open_socket
from toto_aio.signing import SCHEMES

__all__ = ["Answer", "Client", "ClientSocket", "Session", "UnreadableAnswerError"]


class Client:
    """Calls the methods of the service at ``url``, from a login on with its session.

    ``signing`` is the service's; ``encoding`` is ``json``, ``msgpack`` or ``bson``; a call may take
    ``timeout`` seconds. ``http`` is a session of aiohttp to be used, which stays open. What a call may raise:
    the ``TotoException`` that the service answers with, ``InvalidResponseHMAC`` for an answer with a wrong
    signature, aiohttp's ``ClientError`` if there is no answer or none of a service, ``TimeoutError``.
    """

    session: Session | None
    """The session, once there is one; to be kept, and to be set again."""

    def __init__(
        self,
        url: str | URL,
        *,
        signing: str = "user_id",
        encoding: str = "json",
        session: Session | None = None,
        timeout: float = 60.0,
        http: aiohttp.ClientSession | None = None,
    ) -> None:
        if signing not in SCHEMES:
            raise ValueError(f"signing: write one of {', '.join(SCHEMES)}, not {signing!r}")
        self.url = URL(str(url).rstrip("/"))
        self.session = session
        self._signing = signing
        self._encoding = encoding
        self._codec = codec_named(encoding)
        self._timeout = timeout
        self._http = http
        self._own_http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        if self._http is None:
            # A session is shown by its header alone: a cookie could be somebody else's.
            self._http = self._own_http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, unless they are somebody else's."""
        if self._own_http is not None:
            await self._own_http.close()
            self._http = self._own_http = None

    def another(self) -> Client:
        """A client of the same service for another user, over the same connections; it needs no closing."""
        return Client(
            self.url,
            signing=self._signing,
            encoding=self._encoding,
            timeout=self._timeout,
            http=self._opened(),
        )

    async def call(self, method: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The result of a method."""
        return _result(await self.fetch(method, parameters))

    async def get(self, method: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The result of a method that is marked ``@safe``, by GET: parameters come as strings, or lists."""
        return _result(await self._exchange(hdrs.METH_GET, method_url(self.url, method, parameters)))

    async def fetch(self, method: str, parameters: Mapping[str, Any] | None = None) -> Answer:
        """The answer as it came, for a method with bytes of its own; a redirection is not followed."""
        given = dict(parameters or {})
        message = {"method": method, "parameters": given}
        return await self._post(method_url(self.url, method), message, [given.get("session_id")])

    async def batch(self, calls: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Many calls in one request, ``{id: {"method": ..., "parameters": {...}}}``, run in the order of ids.

        To each id its result, or the ``TotoException`` of a call that failed.
        """
        # What has no parameters of its own would be taken for them as a whole.
        entries = {id: {"parameters": {}, **call} for id, call in calls.items()}
        foreign = [(entry["parameters"] or {}).get("session_id") for entry in entries.values()]
        answers = _member(await self._post(self.url, {"batch": entries}, foreign), "batch")
        return {id: outcome(answers.get(id)) for id in calls}

    async def create_account(self, user_id: str, password: str, **values: Any) -> None:
        """Make an account, and log in to it; ``values`` are those that ``account_fields`` allows."""
        await self.call("account.create", {"user_id": user_id, "password": password, **values})

    async def login(self, user_id: str, password: str) -> None:
        """Log in: the calls from now on are made with the new session."""
        await self.call("account.login", {"user_id": user_id, "password": password})

    async def logout(self) -> None:
        """End the session."""
        await self.call("account.logout")
        self.session = None

    @asynccontextmanager
    async def socket(self, path: str | None = None) -> AsyncIterator[ClientSocket]:
        """An open WebSocket with the session; ``path`` is the service's ``socket_path``, if it has one."""
        url = self.url / "websocket" if path is None else self.url.with_path(path)
        request = compose(hdrs.METH_GET, url, signing=self._signing, session=self.session)
        shown = self.session

        def see(session: Session, foreign: Collection[Any]) -> None:
            nonlocal shown
            shown = self._see(session, shown, foreign)

        packed = self._encoding == "msgpack"
        async with open_socket(
            self._opened(), request, packed=packed, timeout=self._timeout, on_session=see
        ) as socket:
            yield socket

    async def _post(self, url: URL, message: dict[str, Any], foreign: Collection[Any]) -> Answer:
        return await self._exchange(hdrs.METH_POST, url, self._codec.encode(message), foreign)

    async def _exchange(
        self, method: str, url: URL, body: bytes = b"", foreign: Collection[Any] = ()
    ) -> Answer:
        """The answer to a request, verified, with its session taken over. Raises the error that it is."""
        content_type = self._codec.content_type if body else ""
        request = compose(
            method, url, signing=self._signing, session=self.session, content_type=content_type, body=body
        )
        answer = await self._send(request)
        verify(request, answer, foreign)
        if answer.session is not None:
            self._see(answer.session, request.session, foreign)
        if answer.message is not None and "error" in answer.message:
            raise error_of(answer.message["error"], answer.headers)
        return answer

    async def _send(self, request: Request) -> Answer:
        async with self._opened().request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,  # the session is nobody else's business
            raise_for_status=False,
            timeout=aiohttp.ClientTimeout(total=self._timeout),
        ) as response:
            return Answer(response.status, response.content_type, response.headers, await response.read())

    def _see(self, shown: Session, before: Session | None, foreign: Collection[Any]) -> Session | None:
        """Take over the session of an answer if it is new; the one that it leaves its connection with."""
        if before is not None and shown.session_id == before.session_id:
            if self.session is not None and shown.session_id == self.session.session_id:
                self.session = replace(self.session, expires=shown.expires)
            return before
        if shown.session_id in foreign:
            return before
        self.session = shown
        return shown

    def _opened(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("The client is not open: write 'async with Client(...) as client:'")
        return self._http


def _result(answer: Answer) -> Any:
    return _member(answer, "result")


def _member(answer: Answer, name: str) -> Any:
    """What an answer must have."""
    if answer.message is None or name not in answer.message:
        raise UnreadableAnswerError(
            f"The answer has no {name}: {answer.status} {answer.content_type}, {answer.body[:80]!r}; "
            "client.fetch gives the bytes of a method's own"
        )
    return answer.message[name]
