"""``Line``: sends requests with the session of a user, verifies the responses, and adopts their session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import aiohttp
from aiohttp import hdrs
from yarl import URL

from toto_aio.client.protocol import (
    TIMEOUT_HEADER,
    Request,
    Response,
    SessionCredentials,
    compose,
    error_of,
    told_limit,
)
from toto_aio.client.socket import ClientSocket, open_socket
from toto_aio.client.verify import keyed_instead, verify
from toto_aio.codecs import Codec
from toto_aio.exceptions import InvalidHMAC
from toto_aio.signing import SCHEMES


class Line:
    """The connections of one client. Its arguments are those of ``Client``."""

    session: SessionCredentials | None

    def __init__(
        self,
        *,
        signing: str,
        codec: Codec,
        session: SessionCredentials | None,
        api_key: str,
        timeout: float,
        http: aiohttp.ClientSession | None,
    ) -> None:
        self.session = session
        self.signing = signing
        self.timeout = timeout
        self._codec = codec
        self._api_key = api_key
        told = told_limit(timeout)
        self._told = {} if told is None else {TIMEOUT_HEADER: f"{told:.3f}"}
        self._http = http
        self._own_http: aiohttp.ClientSession | None = None

    @property
    def http(self) -> aiohttp.ClientSession:
        """aiohttp's connections. Raises ``RuntimeError`` before ``open``."""
        if self._http is None:
            raise RuntimeError("The client is not open: write 'async with Client(...) as client:'")
        return self._http

    @property
    def is_of_user(self) -> bool:
        """Whether requests are a user's, so far as the client knows."""
        return bool(self._api_key) if self.session is None else bool(self.session.user_id)

    @property
    def _ignores_key(self) -> bool:
        """Whether the session has a key, and the scheme signs with none."""
        scheme = SCHEMES[self.signing]
        return self.session is not None and self.session.key != "" and (scheme is None or not scheme.keyed)

    def open(self) -> None:
        """Open the connections, unless there are some."""
        if self._http is None:
            # The session is sent only in its header: a cookie could belong to another user.
            self._http = self._own_http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        """Close the connections that were opened here."""
        if self._own_http is not None:
            await self._own_http.close()
            self._http = self._own_http = None

    async def post(
        self,
        url: URL,
        message: dict[str, Any],
        named: Collection[Any],
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        **accepted: bool,
    ) -> Response:
        """Send a message, as ``exchange`` does."""
        body, content_type = self._codec.encode(message), self._codec.content_type
        return await self.exchange(
            hdrs.METH_POST, url, body, named, content_type=content_type, headers=headers, **accepted
        )

    async def exchange(
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

        ``named`` are the session ids in the parameters, and ``accepted`` arguments of ``verify``.
        """
        request = self._composed(method, url, content_type, body)
        request.headers.update(headers)
        response = await self._send(request)
        is_signed = verify(request, response, named, **accepted)
        if is_signed and response.session is not None:
            self._adopt(response.session, request.session, named)
        if response.message is not None and "error" in response.message:
            error = error_of(response.message["error"], response.headers)
            error.unsigned = not is_signed
            if isinstance(error, InvalidHMAC) and self._ignores_key:
                error.add_note(keyed_instead(self.signing))
            raise error
        return response

    @asynccontextmanager
    async def socket(self, url: URL, *, packed: bool) -> AsyncIterator[ClientSocket]:
        """A WebSocket with the session; if ``packed``, it uses MessagePack."""
        request = self._composed(hdrs.METH_GET, url)
        current = self.session
        scheme = SCHEMES[self.signing]

        def adopt(session: SessionCredentials, named: Collection[Any]) -> None:
            nonlocal current
            kept = self.session
            keyed = scheme is not None and scheme.keyed
            if keyed and kept is not None and kept.session_id != session.session_id:
                return  # frames are not signed: none replaces a session that is
            current = self._adopt(session, current, named)

        async with open_socket(
            self.http, request, packed=packed, timeout=self.timeout, on_session=adopt
        ) as socket:
            yield socket

    def _composed(self, method: str, url: URL, content_type: str = "", body: bytes = b"") -> Request:
        return compose(
            method,
            url,
            signing=self.signing,
            session=self.session,
            api_key=self._api_key,
            content_type=content_type,
            body=body,
        )

    async def _send(self, request: Request) -> Response:
        async with self.http.request(
            request.method,
            request.url,
            headers={**request.headers, **self._told},
            data=request.body or None,
            allow_redirects=False,  # another server must not receive the session
            raise_for_status=False,
            timeout=aiohttp.ClientTimeout(total=self.timeout),
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
