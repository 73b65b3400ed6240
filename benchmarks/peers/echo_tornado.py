"""The echo on Tornado, which Toto used, with uvloop as its event loop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import msgspec
import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

decoder, encoder = msgspec.json.Decoder(), msgspec.json.Encoder()


class Service(RequestHandler):
    """One call."""

    def post(self) -> None:
        """Respond to it."""
        call = decoder.decode(self.request.body)
        self.set_header("Content-Type", "application/json")
        self.write(encoder.encode({"result": call["parameters"]}))

    def compute_etag(self) -> None:
        """Leave the ETag out: no client requests the same echo again."""


async def main() -> None:
    """Serve on a free port, and announce it."""
    logging.getLogger("tornado.access").disabled = True
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application([("/service", Service)])).add_sockets(sockets)
    print(f"Serving on http://127.0.0.1:{sockets[0].getsockname()[1]}/service", file=sys.stderr, flush=True)
    await stop.wait()


if __name__ == "__main__":
    uvloop.run(main())
