"""Runs a service: its listening sockets, the master and its workers, graceful shutdown, and the background.

An application that embeds the service needs none of this: see ``toto_aio.create_app``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toto_aio.server.toto_server import TotoServer

__all__ = ["TotoServer"]


def __getattr__(name: str) -> Any:
    """``TotoServer`` under the name that it has in Toto's scripts; imported when it is used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from toto_aio.server.toto_server import TotoServer

    return TotoServer
