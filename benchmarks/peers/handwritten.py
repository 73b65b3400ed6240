"""The base of the comparison: the echo, written by hand on aiohttp, msgspec and uvloop.

    handwritten.py [least]

It does what the protocol requires and no more: no sessions, no time limits, no other methods or content
types. ``least`` reads and responds as this service's general path does, in one write: the rest is the cost of
aiohttp and msgspec.
"""

from __future__ import annotations

import socket
import sys

import msgspec
import uvloop
from aiohttp import web

from toto_aio.http.body import body_at_hand
from toto_aio.http.response import respond

decoder = msgspec.json.Decoder()
encoder = msgspec.json.Encoder()


async def service(request: web.Request) -> web.StreamResponse:
    """Respond to one call."""
    return web.Response(body=answer(await request.read()), content_type="application/json")


async def least(request: web.Request) -> web.StreamResponse:
    """Respond to one call whose body arrived with its head."""
    return respond(request, answer(body_at_hand(request)), "application/json", observed=False)


def answer(body: bytes) -> bytes:
    """The response to a call."""
    call = decoder.decode(body)
    if call["method"] == "echo":
        return encoder.encode({"result": call["parameters"]})
    return encoder.encode({"error": {"code": 1000, "value": "There is only echo."}})


def main() -> None:
    """Serve on a free port, and announce it."""
    app = web.Application()
    app.router.add_post("/service", least if "least" in sys.argv else service)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"Serving on http://127.0.0.1:{listener.getsockname()[1]}/service", file=sys.stderr, flush=True)
    web.run_app(app, sock=listener, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
