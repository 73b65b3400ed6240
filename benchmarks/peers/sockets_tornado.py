"""The same on Tornado, whose sockets Toto used."""

from __future__ import annotations

import asyncio
import signal
import sys

import msgspec
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler

decoder, encoder = msgspec.json.Decoder(), msgspec.json.Encoder()
listening: set[WebSocketHandler] = set()


class Service(WebSocketHandler):
    """One socket."""

    def on_message(self, message: str | bytes) -> None:
        """Respond to a frame."""
        call = decoder.decode(message)
        if call["method"] == "listen":
            listening.add(self)
        elif call["method"] == "tell":
            event = encoder.encode(call["parameters"]["args"]).decode()
            for other in listening:
                other.write_message(event)
        self.write_message(encoder.encode({"id": call["id"], "result": call["parameters"]}).decode())

    def on_close(self) -> None:
        """Forget it."""
        listening.discard(self)


async def main() -> None:
    """Serve on a free port, and announce it."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    sockets = bind_sockets(0, "127.0.0.1", backlog=1024)
    HTTPServer(Application([("/service/websocket", Service)])).add_sockets(sockets)
    print(f"Serving on http://127.0.0.1:{sockets[0].getsockname()[1]}/service", file=sys.stderr, flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
