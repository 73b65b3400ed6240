"""A service inside an existing aiohttp application, below a prefix.

Run python service.py, then:
    curl http://127.0.0.1:8080/
    curl http://127.0.0.1:8080/api/service/add -H 'content-type: application/json' -d '{"a": 1, "b": 2}'
"""

import sys

from aiohttp import web

from toto_aio import create_app
from toto_aio.invocation import requires


async def index(request):
    """Serve a page of the application itself."""
    return web.Response(text="The application is here, and the service is at /api/service.\n")


@requires("a", "b")
async def add(handler, parameters):
    """Add two numbers."""
    return parameters["a"] + parameters["b"]


def make_application():
    """Return the application, with the service embedded."""
    application = web.Application()
    application.router.add_get("/", index)
    application.add_subapp("/api", create_app(method_module={"add": add}, database="memory://"))
    return application


if __name__ == "__main__":
    web.run_app(make_application(), host="127.0.0.1", port=int(sys.argv[1]) if sys.argv[1:] else 8080)
