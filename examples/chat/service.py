"""A chat across any number of processes, with a web page.

    python service.py 8001 redis://localhost
    python service.py 8002 redis://localhost

Users who open http://127.0.0.1:8001 can talk to users who open http://127.0.0.1:8002. Without the second
argument, the chat stays within one process.
"""

from __future__ import annotations

import sys
from pathlib import Path

from aiohttp import web

from toto_aio import create_app

PAGE = Path(__file__).with_name("index.html")


async def page(request: web.Request) -> web.FileResponse:
    """Serve the page."""
    return web.FileResponse(PAGE)


def application(events: str = "memory://") -> web.Application:
    """Return an application with the page, and with the service below ``/chat``."""
    app = web.Application()
    app.router.add_get("/", page)
    app.add_subapp("/chat", create_app(method_module="rooms", database="memory://", events=events))
    return app


if __name__ == "__main__":
    port, *events = sys.argv[1:] or ["8888"]
    web.run_app(application(*events), host="127.0.0.1", port=int(port))
