"""The HTTP response that is being built for a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from aiohttp import HttpVersion11, hdrs, web

from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.codecs.json_codec import JSON
from toto_aio.http.clients import DisconnectWatcher, StalledConnections, has_disconnected
from toto_aio.http.cookies import SessionCookie
from toto_aio.http.cors import Cors
from toto_aio.http.drain import Drain
from toto_aio.http.proxies import TrustedProxies
from toto_aio.http.request import HTTPRequest, web_request
from toto_aio.http.response import EMPTY, FRAMING, Cookie, check_cookie, is_observed, respond
from toto_aio.http.signatures import HMAC_HEADER, sign_response
from toto_aio.http.stream import Stream
from toto_aio.names import readable
from toto_aio.signing import Scheme

TRACEPARENT = "traceparent"
"""The header of W3C Trace Context that names the trace of a request."""
VARY = "Cookie, Authorization, x-toto-session-id"
"""The headers that a response depends on whose method has asked for the session."""
WITHOUT_BODY = EMPTY | {205}
"""The statuses whose responses have no body, whatever a method gives (RFC 9110, 15.3.6; RFC 9112, 6.3)."""
_OF_URLS = "%/:?#[]@!$&'()*+,;=~"
"""The characters of a URL that stay as they are (RFC 3986); others are written as percent and UTF-8."""
Response = TypeVar("Response", bound=web.StreamResponse)


@dataclass(slots=True)
class ReplyContext:
    """What the replies of one app share.

    ``signals`` are our own among the ``on_response_prepare`` of the app. ``observed`` is known from the first
    response on: whether anything else of an app sees the responses.
    """

    disconnects: DisconnectWatcher
    stalled: StalledConnections
    proxies: TrustedProxies
    scheme: Scheme | None
    cookie: SessionCookie | None
    cors: Cors | None
    drain: Drain
    signals: frozenset[Any]
    challenge: Callable[[], str]
    """Gives ``WWW-Authenticate`` of a response with 401; the service may be below a prefix."""
    observed: bool | None = None

    def observe(self, request: web.Request) -> bool:
        """Find out what ``observed`` is, from the first request."""
        self.observed = is_observed(request, self.signals)
        return self.observed

    async def close(self) -> None:
        """Stop watching clients."""
        self.stalled.close()
        await self.disconnects.close()


class HTTPReply:
    """A ``Reply`` over HTTP. The calls of a batch share one."""

    alone = True
    shared = False
    body = b""
    caller: Caller | None = None
    content_type = JSON.content_type
    _stream: Stream | None = None
    _watched = False
    _is_silent = False

    def __init__(self, http_request: HTTPRequest, context: ReplyContext) -> None:
        self.http_request = http_request
        self._context = context
        # What each response asks for: what an object has itself is found sooner than what its class has.
        self.status: int | None = None
        """The status that the method has set, if it has."""
        self.streaming = False
        self.lasts = False
        """Whether ``close`` has something to do when the request is over."""
        self._headers: dict[str, str] | None = None
        self._cookies: list[Cookie] | None = None
        self._closes = False

    @property
    def request(self) -> web.Request:
        return web_request(self.http_request)

    @property
    def headers_only(self) -> bool:
        return self.http_request.method == hdrs.METH_HEAD

    @property
    def address(self) -> str:
        request = self.http_request
        return self._context.proxies.client(request.remote, request.headers.getall("x-forwarded-for", ()))

    @property
    def agent(self) -> str:
        return readable(self.http_request.headers.get(hdrs.USER_AGENT, ""))

    @property
    def traceparent(self) -> Sequence[str]:
        return self.http_request.headers.getall(TRACEPARENT, ())

    def header(self, name: str) -> Sequence[str]:
        return self.http_request.headers.getall(name, ())

    def set_status(self, status: int) -> None:
        self._require_head()
        self.status = status

    def set_header(self, name: str, value: str) -> None:
        self._require_head()
        if name.lower() in FRAMING:
            self._closes = self._closes or (name.lower() == "connection" and "close" in value.lower())
            return
        self._add(name, value)

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None:
        self._require_head()
        check_cookie(name, value, attributes)
        if self._cookies is None:
            self._cookies = []
        self._cookies.append((name, value, attributes))

    def write(self, body: bytes, content_type: str) -> None:
        if self._stream is None:
            self.lasts = self.streaming = True
            response = self._dress(web.StreamResponse(headers={"Content-Type": content_type}), 200)
            self._is_silent = self.headers_only or response.status in WITHOUT_BODY
            if self.http_request.version < HttpVersion11:
                _close_after(response)  # only its end ends this body
            self._stream = Stream(self.request, response, self._context.stalled)
        if not self._is_silent:
            self._stream.write(body)

    async def drain(self) -> None:
        if self._stream is not None:
            await self._stream.drain()

    def watch(self, callback: Callable[[], None]) -> None:
        self._watched = self.lasts = True
        self._context.disconnects.add(self, callback)

    def answers_first(self, session: UserSession) -> None: ...

    def send_message(self, data: Any, message_id: Any) -> None:
        raise RuntimeError("send_message is for WebSockets; this call came over HTTP and has one response")

    def listen(self, name: str, function: Callable[[Any], Any]) -> None:
        return None

    def challenge_to_log_in_again(self, max_age: int) -> None:
        """Say that the login of the session is older than so many seconds (RFC 9470)."""
        self.set_header(
            hdrs.WWW_AUTHENTICATE,
            f'{self._context.challenge()}, error="insufficient_user_authentication", '
            f'error_description="Log in again", max_age="{max_age}"',
        )

    def response(
        self, body: bytes, content_type: str, status: int = 200, *, enveloped: bool = True
    ) -> web.StreamResponse:
        """The response with this body, signed by the caller's session.

        A status that the method has set counts instead of 200. ``enveloped`` bodies may contain the session.
        """
        context, caller = self._context, self.caller
        if self.status is not None and status == 200:
            status = self.status
        if status != 200:
            if status in WITHOUT_BODY:
                body = b""
            elif status == 401:
                self._challenge()
        if caller is not None and context.scheme is not None and (caller.session or caller.signer):
            self._sign(context.scheme, caller, body)
        if context.cookie is not None:
            self._set_session_cookie(context.cookie, enveloped=enveloped)
        if caller is not None and caller.consulted:
            self._keep_from_caches(caller)
        stalled, transport = context.stalled, self.http_request.transport
        if transport is not None:
            stalled.written.add(transport)  # like ``add``, without the cost of a call
            if stalled.timer is None:
                stalled.start()
        observed = context.observed
        if observed is None:
            observed = context.observe(self.request)
        observed = observed or self._closes or context.drain.begun
        headers, added = self._headers, None
        if context.cors is not None and not observed:
            added = context.cors.headers(self.http_request)
            if headers is not None and hdrs.VARY in headers and hdrs.VARY in added:
                added[hdrs.VARY] = f"{headers.pop(hdrs.VARY)}, {added[hdrs.VARY]}"
        response = respond(
            self.http_request,
            body,
            content_type,
            status,
            headers,
            self._cookies,
            added=added,
            observed=observed,
        )
        if self._closes:
            _close_after(response)
        return response

    def redirect(self, url: str, status: int) -> web.Response:
        """The response that sends the client to ``url``."""
        return self._dress(
            web.Response(status=status, headers={"Location": quote(url, safe=_OF_URLS)}), status
        )

    def lasting_response(self, content_type: str) -> web.StreamResponse:
        """The head of a response that lasts for long; its connection ends with it."""
        self.set_header("X-Accel-Buffering", "no")  # nginx would keep its pieces
        self.set_header(hdrs.CACHE_CONTROL, "no-store")
        response = self._dress(web.StreamResponse(headers={hdrs.CONTENT_TYPE: content_type}), 200)
        _close_after(response)
        return response

    async def end_stream(self) -> web.StreamResponse:
        """Wait until the stream has been sent."""
        assert self._stream is not None
        return await self._stream.end()

    def break_stream(self) -> web.StreamResponse:
        """Abort the connection, so that the client doesn't take half a response for the whole."""
        assert self._stream is not None
        return self._stream.abort()

    def disconnected(self) -> None:
        """Notify the callbacks of ``watch``, if the client has disconnected."""
        if self._watched and has_disconnected(self.http_request):
            self._context.disconnects.disconnected(self)

    def close(self) -> None:
        """End what the request has begun: watching its client, and a stream."""
        if self._watched:
            self._context.disconnects.discard(self)
        if self._stream is not None:
            self._stream.close()

    def _challenge(self) -> None:
        """Say how to show who one is, unless the method has."""
        if "www-authenticate" not in {name.lower() for name in self._headers or ()}:
            self.set_header(hdrs.WWW_AUTHENTICATE, self._context.challenge())

    def _sign(self, scheme: Scheme, caller: Caller, body: bytes) -> None:
        signature = sign_response(scheme, self.http_request, caller, body)
        if signature is not None:
            self._add(HMAC_HEADER, signature)

    def _keep_from_caches(self, caller: Caller) -> None:
        """Let no cache give the response to others (RFC 9111), unless the method has set headers for that."""
        given = {name.lower() for name in self._headers or ()}
        if "vary" not in given:
            self._add(hdrs.VARY, VARY)
        if "cache-control" not in given and (caller.session or caller.signer or caller.logged_out):
            self._add(hdrs.CACHE_CONTROL, "no-store")

    def _add(self, name: str, value: str) -> None:
        """Set a header that is not one of the framing, before the head is sent."""
        if self._headers is None:
            self._headers = {}
        self._headers[name] = value

    def _set_session_cookie(self, cookie: SessionCookie, *, enveloped: bool) -> None:
        if self.caller is None:
            return
        written = cookie.write(self.http_request, self.caller, enveloped=enveloped)
        if written is not None:
            self.set_cookie(written[0], written[1], **written[2])

    def _dress(self, response: Response, status: int) -> Response:
        """Give a response of aiohttp's the status, headers and cookies that were set."""
        if self._context.cookie is not None:
            self._set_session_cookie(self._context.cookie, enveloped=False)
        if self.caller is not None and self.caller.consulted:
            self._keep_from_caches(self.caller)
        if self.status is not None and status == 200:
            response.set_status(self.status)
        if response.status == 401:
            self._challenge()
        if self._headers is not None:
            response.headers.update(self._headers)
        for name, value, attributes in self._cookies or ():
            response.set_cookie(name, value, **attributes)
        if self._closes:
            _close_after(response)
        return response

    def _require_head(self) -> None:
        if self._stream is not None:
            raise RuntimeError(
                "The headers have been sent: set status, headers and cookies before the first piece"
            )


def _close_after(response: web.StreamResponse) -> None:
    """Let the connection end with a response, and say so (RFC 9112, 9.6)."""
    response.force_close()
    response.headers[hdrs.CONNECTION] = "close"
