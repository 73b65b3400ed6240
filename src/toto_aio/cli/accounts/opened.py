"""Opens a service for an action: its stores and its events, and nothing of the author's."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from toto_aio.auth.audit import Origin, acting
from toto_aio.in_process import OpenService, open_service
from toto_aio.methods import client_error
from toto_aio.server.logs import FORMATS
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.sources import override
from toto_aio.settings.urls import scheme_of

NOT_OF_THE_AUTHOR = {
    "method_module": {"client_error": client_error},
    "startup_function": None,
    "event_init_module": None,
    "before_handler": None,
    "after_handler": None,
    "encoders": None,
    "socket_opened_method": "",
    "socket_closed_method": "",
    "metrics": False,
    "health": "off",
    "openapi": "off",
    "json_rpc": "off",
    "processes": 1,
}
"""What would run the author's code, which must neither be needed nor take part in the service meanwhile."""


@asynccontextmanager
async def opened(settings: Settings, *, may_create: bool, of_sessions: bool) -> AsyncIterator[OpenService]:
    """The service of these settings. Raises ``SettingsError`` for a database that has no accounts yet.

    ``of_sessions`` tells whether they have to be those of the running service.
    """
    _require_accounts(settings, may_create=may_create)
    if of_sessions and scheme_of(settings.session_store) == "memory":
        raise SettingsError(
            "session_store: only the running service sees the sessions in its memory: do this in a method of "
            "it, or keep sessions in a database"
        )
    async with _audit_on_stderr(settings), open_service(override(settings, NOT_OF_THE_AUTHOR)) as service:
        origin = Origin(kind="cli", actor=system_user())
        acting.set(lambda: origin)
        yield service


def _require_accounts(settings: Settings, *, may_create: bool) -> None:
    scheme = scheme_of(settings.database)
    if scheme in ("memory", "none"):
        raise SettingsError(
            f"database: {scheme} has no accounts that another process could see: write that of the service, "
            "such as --database=sqlite:///toto.db"
        )
    if scheme == "sqlite" and not may_create:
        from toto_aio.stores.sqlite import database_path

        path = database_path(settings.database)
        if not Path(path).exists():
            raise SettingsError(
                f"database: there is no file {path} here: write --file=FILE with the options of the service, "
                "or its --database"
            )


@asynccontextmanager
async def _audit_on_stderr(settings: Settings) -> AsyncIterator[None]:
    """Write what is done to stderr, in the service's format, unless a person sees it there anyway."""
    if sys.stderr.isatty():
        yield
        return
    logger, handler = logging.getLogger("toto_aio.audit"), logging.StreamHandler()
    handler.setFormatter(FORMATS[settings.log_format])
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def system_user() -> str:
    """The system's user who runs this, as the system says, and who has become that user by sudo."""
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        name = str(os.getuid()) if hasattr(os, "getuid") else ""
    before = os.environ.get("SUDO_USER")
    return f"{before} as {name}" if before else name
