"""A service of callable methods with accounts, sessions, signatures and events, on asyncio and aiohttp."""

from toto_aio.app import create_app
from toto_aio.auth.accounts import UserAccount
from toto_aio.auth.sessions import UserSession
from toto_aio.dispatch.handler import Handler
from toto_aio.dispatch.runtime import Connection
from toto_aio.exceptions import TotoException
from toto_aio.in_process import OpenService, open_service
from toto_aio.server.toto_server import TotoServer
from toto_aio.settings import Settings

__version__ = "0.2.0"

__all__ = [
    "Connection",
    "Handler",
    "OpenService",
    "Settings",
    "TotoException",
    "TotoServer",
    "UserAccount",
    "UserSession",
    "create_app",
    "open_service",
]
