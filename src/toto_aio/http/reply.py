"""The HTTP response that is being made for a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import hdrs, web

from toto_aio.auth.caller import Caller
from toto_aio.codecs import JSON
from toto_aio.http.clients import ConnectionWatch, has_left
from toto_aio.http.cookies import SessionCookie
from toto_aio.http.cors import Cors
from toto_aio.http.drain import Drain
from toto_aio.http.proxies import TrustedProxies
from toto_aio.http.readers import SlowReaders
from toto_aio.http.request import View, web_request
from toto_aio.http.response import Cookie, is_observed, respond
from toto_aio.http.signatures import HMAC_HEADER, sign_answer
from toto_aio.http.stream import Stream
from toto_aio.signing import Scheme

Response = TypeVar("Response", bound=web.StreamResponse)


@dataclass(slots=True)
class Surroundings:
    """What the replies of one app share; ``observed`` is known from the first request on."""

    watch: ConnectionWatch
    readers: SlowReaders
    proxies: TrustedProxies
    scheme: Scheme | None
    cookie: SessionCookie | None
    cors: Cors | None
    drain: Drain
    observed: bool | None = None

    @property
    def signals(self) -> frozenset[Any]:
        """What the app sends responses to that is the service's own."""
        cors = set() if self.cors is None else {self.cors.add_headers}
        return frozenset({self.drain.send_away, *cors})


class HTTPReply:
    """A ``Reply`` over HTTP. The calls of a batch share one; ``alone`` is false then."""

    alone = True
    streaming = False
    caller: Caller | None = None
    content_type = JSON.content_type
    _status: int | None = None
    _headers: dict[str, str] | None = None
    _cookies: list[Cookie] | None = None
    _stream: Stream | None = None
    _watched = False
    lasts = False
    """Whether there is something to end when the request is over: ``close`` does it."""

    def __init__(self, view: View, surroundings: Surroundings) -> None:
        self.view = view
        self._surroundings = surroundings

    @property
    def request(self) -> web.Request:
        return web_request(self.view)

    @property
    def headers_only(self) -> bool:
        return self.view.method == hdrs.METH_HEAD

    @property
    def address(self) -> str:
        return self._surroundings.proxies.client(
            self.view.remote, self.view.headers.getall("x-forwarded-for", ())
        )

    @property
    def agent(self) -> str:
        return self.view.headers.get(hdrs.USER_AGENT, "")

    def set_status(self, status: int) -> None:
        self._require_head()
        self._status = status

    def set_header(self, name: str, value: str) -> None:
        self._require_head()
        if self._headers is None:
            self._headers = {}
        self._headers[name] = value

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None:
        self._require_head()
        if self._cookies is None:
            self._cookies = []
        self._cookies.append((name, value, attributes))

    def write(self, body: bytes, content_type: str) -> None:
        if self._stream is None:
            self.lasts = self.streaming = True
            response = web.StreamResponse(headers={"Content-Type": content_type})
            self._stream = Stream(self.request, self._dress(response, 200), self._surroundings.readers)
        if not self.headers_only:
            self._stream.write(body)

    async def drain(self) -> None:
        if self._stream is not None:
            await self._stream.drain()

    def watch(self, callback: Callable[[], None]) -> None:
        self._watched = self.lasts = True
        self._surroundings.watch.add(self, callback)

    def send_message(self, data: Any, message_id: Any) -> None:
        raise RuntimeError("send_message is for WebSockets; this call came by HTTP and has one answer")

    def listen(self, name: str, function: Callable[[Any], Any]) -> None:
        return None

    def response(self, body: bytes, content_type: str, status: int = 200) -> web.StreamResponse:
        """The response with this body, signed by the caller's session; ``status`` unless one was set."""
        shared, caller = self._surroundings, self.caller
        if caller is not None and caller.session is not None and shared.scheme is not None:
            signature = sign_answer(shared.scheme, self.view, caller, body)
            if signature is not None:
                self.set_header(HMAC_HEADER, signature)
        if self._status is not None and status == 200:
            status = self._status
        if shared.cookie is not None:
            self._set_session_cookie(shared.cookie)
        readers, transport = shared.readers, self.view.transport
        if transport is not None:
            readers.written.add(transport)  # as ``add`` does, which is a call more
            if readers.timer is None:
                readers.start()
        if shared.observed is None:
            shared.observed = is_observed(self.request, shared.signals)
        observed = shared.observed or shared.drain.begun
        return respond(
            self.view,
            body,
            content_type,
            status,
            self._headers,
            self._cookies,
            added=None if observed or shared.cors is None else shared.cors.headers(self.view),
            observed=observed,
        )

    def redirect(self, url: str, status: int) -> web.Response:
        """The response that sends the client to ``url``."""
        return self._dress(web.Response(status=status, headers={"Location": url}), status)

    async def end_stream(self) -> web.StreamResponse:
        """Wait until the stream has gone out."""
        assert self._stream is not None
        return await self._stream.end()

    def break_stream(self) -> web.StreamResponse:
        """Cut the connection, so that the client does not take half an answer for the whole."""
        assert self._stream is not None
        return self._stream.abort()

    def client_left(self) -> None:
        """Tell who watches for it, if the client has left."""
        if self._watched and has_left(self.view):
            self._surroundings.watch.client_left(self)

    def close(self) -> None:
        """The request is over."""
        if self._watched:
            self._surroundings.watch.discard(self)
        if self._stream is not None:
            self._stream.close()

    def _set_session_cookie(self, cookie: SessionCookie) -> None:
        written = None if self.caller is None else cookie.write(self.view, self.caller)
        if written is not None:
            self.set_cookie(written[0], written[1], **written[2])

    def _dress(self, response: Response, status: int) -> Response:
        if self._surroundings.cookie is not None:
            self._set_session_cookie(self._surroundings.cookie)
        if self._status is not None and status == 200:
            response.set_status(self._status)
        if self._headers is not None:
            response.headers.update(self._headers)
        for name, value, attributes in self._cookies or ():
            response.set_cookie(name, value, **attributes)
        return response

    def _require_head(self) -> None:
        if self._stream is not None:
            raise RuntimeError(
                "The head has gone out: set status, headers and cookies before the first piece"
            )
