"""A service of callable methods with accounts, sessions, signatures and events, on asyncio and aiohttp."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toto_aio.app import create_app
    from toto_aio.auth.user_account import UserAccount
    from toto_aio.auth.user_session import UserSession
    from toto_aio.dispatch.handler import Handler
    from toto_aio.dispatch.runtime import Connection
    from toto_aio.exceptions import TotoException
    from toto_aio.in_process import OpenService, open_service
    from toto_aio.invocation import method
    from toto_aio.models import File
    from toto_aio.server.toto_server import TotoServer
    from toto_aio.settings import Settings

__version__ = "0.2.0"

__all__ = [
    "Connection",
    "File",
    "Handler",
    "OpenService",
    "Settings",
    "TotoException",
    "TotoServer",
    "UserAccount",
    "UserSession",
    "create_app",
    "method",
    "open_service",
]

_MODULES = {
    "Connection": "toto_aio.dispatch.runtime",
    "File": "toto_aio.models",
    "Handler": "toto_aio.dispatch.handler",
    "OpenService": "toto_aio.in_process",
    "Settings": "toto_aio.settings",
    "TotoException": "toto_aio.exceptions",
    "TotoServer": "toto_aio.server.toto_server",
    "UserAccount": "toto_aio.auth.user_account",
    "UserSession": "toto_aio.auth.user_session",
    "create_app": "toto_aio.app",
    "method": "toto_aio.invocation",
    "open_service": "toto_aio.in_process",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a command line, and a client, need no server."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
