"""What RFC 6455 asks of clients and aiohttp does not check: masks, and the codes of close frames."""

from __future__ import annotations

from typing import Any

from aiohttp import WebSocketError, WSCloseCode, web

MASK = 0x80


class StrictWebSocket(web.WebSocketResponse[Any]):
    """A socket that is closed with 1002 if its client does not mask its frames (RFC 6455, 5.1).

    The first frame tells: a client masks all of them, or none. aiohttp has nothing public for this.
    """

    def _post_start(self, request: web.BaseRequest, *arguments: Any) -> None:
        connection: Any = request.protocol
        # What has arrived behind the request is held back, as aiohttp's reader would take it at once.
        early, connection._message_tail = connection._message_tail, b""
        super()._post_start(request, *arguments)
        connection._payload_parser = _FirstFrame(connection, self)
        connection.data_received(early)


def reply_code(code: int | None) -> WSCloseCode:
    """The code that answers a close frame with this code (RFC 6455, 7.4): 1006 is never sent."""
    wrong = code == WSCloseCode.ABNORMAL_CLOSURE or (code is not None and code > _LAST)
    return WSCloseCode.PROTOCOL_ERROR if wrong else WSCloseCode.OK


class _FirstFrame:
    """Stands before aiohttp's reader until the second byte of the first frame has arrived."""

    def __init__(self, protocol: Any, response: Any) -> None:
        self._protocol = protocol
        self._reader = protocol._payload_parser
        self._queue = response._reader
        self._begun = 0

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if self._begun + len(data) < 2:
            self._begun += len(data)
        else:
            self._protocol._payload_parser = self._reader
            if not data[1 - self._begun] & MASK:
                error = WebSocketError(WSCloseCode.PROTOCOL_ERROR, "Clients have to mask their frames")
                self._queue.set_exception(error)
                return True, b""
        result: tuple[bool, bytes] = self._reader.feed_data(data)
        return result

    def feed_eof(self) -> None:
        self._reader.feed_eof()


_LAST = 4999
