"""A hand-written loop on aiohttp: each frame gets its response where it is read."""

from __future__ import annotations

import socket
import sys
from typing import Any

import msgspec
import uvloop
from aiohttp import WSMsgType, web

decoder, encoder = msgspec.json.Decoder(), msgspec.json.Encoder()
listening: set[web.WebSocketResponse] = set()


async def service(request: web.Request) -> web.WebSocketResponse:
    """Respond to the frames of one socket."""
    response = web.WebSocketResponse(compress=False)
    await response.prepare(request)
    async for frame in response:
        if frame.type != WSMsgType.TEXT:
            continue
        call: dict[str, Any] = decoder.decode(frame.data)
        if call["method"] == "listen":
            listening.add(response)
        elif call["method"] == "tell":
            event = encoder.encode(call["parameters"]["args"]).decode()
            for other in listening:
                await other.send_str(event)
        answer = {"id": call["id"], "result": call["parameters"]}
        await response.send_str(encoder.encode(answer).decode())
    listening.discard(response)
    return response


def main() -> None:
    """Serve on a free port, and announce it."""
    app = web.Application()
    app.router.add_get("/service/websocket", service)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(f"Serving on http://127.0.0.1:{listener.getsockname()[1]}/service", file=sys.stderr, flush=True)
    web.run_app(app, sock=listener, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
