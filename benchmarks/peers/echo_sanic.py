"""The echo on Sanic: one process of its own server, on uvloop, without an access log."""

from __future__ import annotations

import socket
import sys

import msgspec
from sanic import HTTPResponse, Request, Sanic

decoder, encoder = msgspec.json.Decoder(), msgspec.json.Encoder()
app = Sanic("echo", configure_logging=False)


@app.post("/service")
async def service(request: Request) -> HTTPResponse:
    """Respond to one call."""
    call = decoder.decode(request.body)
    return HTTPResponse(encoder.encode({"result": call["parameters"]}), content_type="application/json")


def main() -> None:
    """Serve on a free port, and announce it."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"Serving on http://127.0.0.1:{listener.getsockname()[1]}/service", file=sys.stderr, flush=True)
    app.run(sock=listener, single_process=True, access_log=False, motd=False)


if __name__ == "__main__":
    main()
