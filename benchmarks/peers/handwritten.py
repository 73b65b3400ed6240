"""The base of the comparison: the echo as one would write it by hand on aiohttp, msgspec and uvloop.

It does what the wire asks and no more: no sessions, no time limits, no other methods or content types.
"""

from __future__ import annotations

import socket
import sys

import msgspec
import uvloop
from aiohttp import web

decoder = msgspec.json.Decoder()
encoder = msgspec.json.Encoder()


async def service(request: web.Request) -> web.Response:
    """Answer one call."""
    call = decoder.decode(await request.read())
    if call["method"] == "echo":
        answer = {"result": call["parameters"]}
    else:
        answer = {"error": {"code": 1000, "value": "There is only echo."}}
    return web.Response(body=encoder.encode(answer), content_type="application/json")


def main() -> None:
    """Serve on a free port, and say on which."""
    app = web.Application()
    app.router.add_post("/service", service)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"Serving on http://127.0.0.1:{listener.getsockname()[1]}/service", file=sys.stderr, flush=True)
    web.run_app(app, sock=listener, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
