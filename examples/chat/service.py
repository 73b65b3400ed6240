"""A chat across any number of processes, with a web page.

    python service.py 8001 redis://localhost
    python service.py 8002 redis://localhost

Users who open http://127.0.0.1:8001 can talk to users who open http://127.0.0.1:8002. Without the second
argument, the chat stays within one process. It goes on through restarts under

    toto-aio serve service:application --processes=2 --port=8001

with the environment variable EVENTS=redis://localhost.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
from pathlib import Path

from aiohttp import web

from toto_aio import create_app

PAGE = Path(__file__).with_name("index.html").read_text(encoding="utf-8")


def policy(page: str) -> str:
    """What the browser may do on the page: run its own script, and talk to its own service."""

    def hashed(tag: str) -> str:
        inline = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert inline is not None
        return base64.b64encode(hashlib.sha256(inline[1].encode()).digest()).decode()

    return (
        f"default-src 'none'; script-src 'sha256-{hashed('script')}'; style-src 'sha256-{hashed('style')}'; "
        "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


HEADERS = {"Content-Security-Policy": policy(PAGE), "X-Content-Type-Options": "nosniff"}


async def page(request: web.Request) -> web.Response:
    """Serve the page."""
    return web.Response(text=PAGE, content_type="text/html", headers=HEADERS)


def application(events: str = os.environ.get("EVENTS", "memory://")) -> web.Application:
    """Return an application with the page, and with the service below ``/chat``."""
    app = web.Application()
    app.router.add_get("/", page)
    app.add_subapp("/chat", create_app(method_module="rooms", database="none", events=events))
    return app


if __name__ == "__main__":
    port, *events = sys.argv[1:] or ["8888"]
    web.run_app(application(*events), host="127.0.0.1", port=int(port))
