"""The echo on frameworks that uvicorn serves, each as its own documentation recommends for speed.

    echo_asgi.py NAME

uvicorn runs with uvloop and httptools and without an access log. Each framework reads and validates what it
can by itself; where it leaves JSON to the author, msgspec is used.
"""

# No "from __future__ import annotations": FastAPI and Litestar read the annotations of inner functions.

import socket
import sys
from typing import Any

import msgspec
import uvicorn

decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


def bare() -> Any:
    """No framework: the cost of uvicorn and the protocol."""
    headers = [(b"content-type", b"application/json")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        answer = encode({"result": decode(body)["parameters"]})
        length = (b"content-length", str(len(answer)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": answer})

    return app


def starlette() -> Any:
    """A route, the body, and a response of bytes."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def service(request: Request) -> Response:
        call = decode(await request.body())
        return Response(encode({"result": call["parameters"]}), media_type="application/json")

    return Starlette(routes=[Route("/service", service, methods=["POST"])])


def fastapi() -> Any:
    """Models of the call and the response, which pydantic reads and writes."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Call(BaseModel):
        method: str
        parameters: dict[str, Any]

    class Answer(BaseModel):
        result: dict[str, Any]

    app = FastAPI(openapi_url=None)

    @app.post("/service")
    async def service(call: Call) -> Answer:
        return Answer(result=call.parameters)

    return app


def fastapi_typed() -> Any:
    """A model of four parameters, and of the response."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Parameters(BaseModel):
        title: str
        limit: int
        price: float = 1.0
        done: bool = False

    class Answer(BaseModel):
        result: str

    app = FastAPI(openapi_url=None)

    @app.post("/service")
    async def service(call: Parameters) -> Answer:
        return Answer(result=call.title)

    return app


def litestar() -> Any:
    """Structs of msgspec, which Litestar reads and writes itself."""
    from litestar import Litestar, post

    class Call(msgspec.Struct):
        method: str
        parameters: dict[str, Any]

    class Answer(msgspec.Struct):
        result: dict[str, Any]

    @post("/service", status_code=200)
    async def service(data: Call) -> Answer:
        return Answer(data.parameters)

    return Litestar([service], openapi_config=None, logging_config=None)


def blacksheep() -> Any:
    """A route, the body, and a response of bytes."""
    from blacksheep import Application, Content, Request, Response

    app = Application()

    async def service(request: Request) -> Response:
        call = decode(await request.read())
        return Response(200, content=Content(b"application/json", encode({"result": call["parameters"]})))

    app.router.add_post("/service", service)
    return app


APPS = {
    "bare": bare,
    "starlette": starlette,
    "fastapi": fastapi,
    "fastapi_typed": fastapi_typed,
    "litestar": litestar,
    "blacksheep": blacksheep,
}


def main() -> None:
    """Serve on a free port, and announce it."""
    app = APPS[sys.argv[1]]()
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"Serving on http://127.0.0.1:{listener.getsockname()[1]}/service", file=sys.stderr, flush=True)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
