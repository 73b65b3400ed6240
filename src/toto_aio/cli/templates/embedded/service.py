"""An aiohttp application that embeds the service of ``methods``."""

import logging
import os
from pathlib import Path

from aiohttp import web
from toto_aio import create_app
from toto_aio.middleware import get_session, setup
from toto_aio.settings import read_settings

OPTIONS = Path(__file__).with_name("toto.toml")


async def index(request):
    """Show a page of the application itself, which has the logins of the service."""
    session = await get_session(request)
    user = session.user_id if session else "stranger"
    text = f"The application. Hello {user}! The service is at /api/service\n"
    return web.Response(text=text)


def make_application(settings, **options):
    """Create the application, with the service below ``/api``."""
    application = web.Application()
    application.router.add_get("/", index)
    service = create_app(settings, use_cookies=True, **options)
    setup(application, service)
    application.add_subapp("/api", service)
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
