"""A service of callable methods with accounts, sessions, signatures and events, on asyncio and aiohttp."""

from toto_aio.app import create_app
from toto_aio.exceptions import TotoException
from toto_aio.handler import Handler
from toto_aio.server import TotoServer
from toto_aio.settings import Settings

__all__ = ["Handler", "Settings", "TotoException", "TotoServer", "create_app"]
