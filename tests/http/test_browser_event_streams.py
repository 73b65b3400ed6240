"""The pages of docs/channels.md in Chromium: they go on by themselves, on the service and elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from tests.conftest import built_in
from tests.support import ROOT
from tests.support.limits import limits
from tests.support.pages import blocks
from tests.support.servers import free_port
from tests.support.service import eventually
from toto_aio import create_app
from toto_aio.http import event_stream
from toto_aio.http.event_streams import EVENT_STREAMS
from toto_aio.invocation import authenticated, channel
from toto_aio.lifespan import LIFESPAN

if TYPE_CHECKING:
    from tests.support.browser import Browser, Origin, Page

pytest_plugins = ["tests.support.browser"]


@channel("room:{room}", history=50)
async def anybody(room: str) -> None:
    """Admit everybody."""


@channel("room:{room}", history=50)
@authenticated
async def users(room: str) -> None:
    """Admit users."""


def page_of(name: str) -> str:
    """A page of the documentation."""
    begin = f"<!-- {name} -->\n"
    return next(each.code for each in blocks(ROOT / "docs" / "channels.md") if each.code.startswith(begin))


CREATE = """fetch(`${url}/account/create`, {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(ada)
}).then((response) => response.json()).then(({result}) => result.session_id)"""

LINES = "[...document.querySelectorAll('li')].map((each) => each.textContent)"


class Site:
    """A service with a page."""

    def __init__(self, app: web.Application) -> None:
        self.app = app
        self._count = 0

    async def say(self, count: int = 3) -> None:
        """Publish so many lines."""
        events = self.app[LIFESPAN].runtime.needed_events()
        for _ in range(count):
            self._count += 1
            await events.publish("room:7", {"text": str(self._count)})

    async def subscribed(self) -> None:
        """Wait until the page has subscribed."""
        await eventually(lambda: any(each._place["room:7"] for each in self.app[EVENT_STREAMS].open))

    def cut(self) -> None:
        """Cut all connections of streams."""
        for stream in self.app[EVENT_STREAMS].open:
            transport = stream._reply.request.transport
            assert transport is not None
            transport.abort()

    async def shown(self, page: Page, expression: str) -> None:
        """Wait until a page shows all lines, each once and in order."""
        expected = [str(n + 1) for n in range(self._count)]
        found = await page.run(
            f"""new Promise((done) => {{
                const look = () => ({expression}).length >= count ? done({expression}) : setTimeout(look, 20);
                look();
            }})""",
            count=len(expected),
        )
        assert found == expected


async def test_pages(browser: Browser, origin: Origin, aiohttp_server: AiohttpServer) -> None:
    """They show everything once and in order, whatever cuts their connections."""
    with limits(event_stream, MIN_RETRY=0.02, MAX_RETRY=0.05):

        async def room(request: web.Request) -> web.Response:
            return web.Response(text=f"<!doctype html>{page_of('room.html')}", content_type="text/html")

        methods = {**built_in(), "room": anybody}
        app = create_app(database="memory://", method_module=methods)
        app.router.add_get("/", room)
        server = await aiohttp_server(app)
        site = Site(app)
        page = await browser.open(f"http://127.0.0.1:{server.port}/")
        await site.subscribed()
        for _ in range(3):
            await site.say()
            await site.shown(page, LINES)
            site.cut()

        port = free_port()
        url = f"http://127.0.0.1:{port}/service"
        html = page_of("elsewhere.html").replace("https://api.example/service", url)
        elsewhere = await origin("localhost", html)
        app = create_app(
            database="memory://", method_module={**built_in(), "room": users}, allow_origin=[elsewhere]
        )
        await aiohttp_server(app, port=port)
        site = Site(app)
        page = await browser.open(elsewhere)
        ada = {"user_id": "ada", "password": "correct horse"}
        session = await page.run(CREATE, url=url, ada=ada)
        await page.run("window.lines = []")
        await page.run("connect(session, ({text}) => lines.push(text))", session=session)
        await site.subscribed()
        await site.say()
        await site.shown(page, "lines")
        site.cut()
        await site.say()
        await site.shown(page, "lines")
