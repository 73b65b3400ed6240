"""What a method may do to the response of its call, whatever transport the call came by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from toto_aio.events.registration import Registration

if TYPE_CHECKING:
    from aiohttp import web

    from toto_aio.auth.user_session import UserSession


class Reply(Protocol):
    """The response that is being built for a call, as far as its method may shape it."""

    content_type: str
    alone: bool
    """Whether the call has a response of its own: not in a batch, and not on a socket."""
    shared: bool
    """Whether other calls share the caller and the response: in a batch."""

    body: bytes
    """The bytes of the request's body, or of the frame."""
    status: int | None
    """The status that the method has set, if it has and there is one."""

    @property
    def request(self) -> web.Request:
        """aiohttp's request."""

    @property
    def headers_only(self) -> bool:
        """Whether the client asked for the headers only."""

    @property
    def streaming(self) -> bool:
        """Whether a piece of a stream has been written."""

    @property
    def address(self) -> str:
        """The client's IP address."""

    @property
    def agent(self) -> str:
        """The client's ``User-Agent``; "" without one."""

    @property
    def traceparent(self) -> Sequence[str]:
        """The values of the header ``traceparent``, which a log line names."""

    def header(self, name: str) -> Sequence[str]:
        """The values of a header of the request; none on a socket, whose headers are no call's."""

    def set_status(self, status: int) -> None:
        """Respond with this HTTP status."""

    def set_header(self, name: str, value: str) -> None:
        """Set a header of the response."""

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None:
        """Set a cookie, with the attributes of ``aiohttp.web.Response.set_cookie``."""

    def write(self, body: bytes, content_type: str) -> None:
        """Send a piece of a stream; the first sends the headers. Raises ``BufferError`` if too much waits."""

    async def drain(self) -> None:
        """Wait until the client has read most of what was written."""

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back once if the client disconnects before the response."""

    def answers_first(self, session: UserSession) -> None:
        """Send the response before the end of this session, which the call brings about, is acted upon."""

    def send_message(self, data: Any, message_id: Any) -> None:
        """Send a frame of the method's own. Raises ``RuntimeError`` off a WebSocket, ``BufferError``."""

    def listen(self, name: str, function: Callable[[Any], Any]) -> Registration | None:
        """Call ``function`` with each event until the client leaves; None over a transport without frames."""
