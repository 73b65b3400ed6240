"""An aiohttp application that embeds the service of ``methods``."""

import logging
import os
from pathlib import Path

from aiohttp import web
from toto_aio import create_app
from toto_aio.settings import read_settings

OPTIONS = Path(__file__).with_name("toto.toml")


async def index(request):
    """Show a page of the application itself."""
    return web.Response(text="The application. Its service is at /api/service\n")


def make_application(settings, **options):
    """Create the application, with the service below ``/api``."""
    application = web.Application()
    application.router.add_get("/", index)
    application.add_subapp("/api", create_app(settings, **options))
    return application


def main():
    """Serve until TERM or INT."""
    logging.basicConfig(level=logging.INFO)
    settings = read_settings({}, OPTIONS, os.environ)
    address = {"host": settings.host, "port": settings.port}
    if settings.unix_socket:
        address = {"path": settings.unix_socket}
    web.run_app(make_application(settings), access_log=None, **address)


if __name__ == "__main__":
    main()
