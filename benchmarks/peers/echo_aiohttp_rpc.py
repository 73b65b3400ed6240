"""The echo as a call of JSON-RPC, by aiohttp-rpc on aiohttp and uvloop."""

from __future__ import annotations

import socket
import sys
from typing import Any

import msgspec
import uvloop
from aiohttp import web
from aiohttp_rpc import JSONRPCServer
from aiohttp_rpc.protocol import JSONRPCMethod

decoder, encoder = msgspec.json.Decoder(), msgspec.json.Encoder()


async def echo(**parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


def main() -> None:
    """Serve on a free port, and announce it."""
    rpc = JSONRPCServer(
        json_serialize=lambda value: encoder.encode(value).decode(), json_deserialize=decoder.decode
    )
    rpc.add_method(JSONRPCMethod(echo))
    app = web.Application()
    app.router.add_post("/service", rpc.handle_http_request)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"Serving on http://127.0.0.1:{listener.getsockname()[1]}/service", file=sys.stderr, flush=True)
    web.run_app(app, sock=listener, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
