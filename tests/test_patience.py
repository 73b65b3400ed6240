"""A start that waits for its database, or doesn't if that is of no use."""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import server_module
from tests.support.limits import WATCHDOG
from tests.support.programs import SERVE, start
from tests.support.servers import free_port
from toto_aio import open_service
from toto_aio.exceptions import Unavailable
from toto_aio.methods import account
from toto_aio.patience import is_passing

METHODS = {"account.login": account.login}


def caused(cause: BaseException) -> Unavailable:
    """What a store raises for an error of its driver."""
    error = Unavailable("Cannot open the database")
    error.__cause__ = Unavailable()
    error.__cause__.__cause__ = cause
    return error


def test_which_errors_pass() -> None:
    """Those of a server that isn't there yet, and not those that waiting can't mend."""
    import asyncpg  # type: ignore[import-untyped]
    from asyncmy.errors import OperationalError
    from pymongo.errors import OperationFailure, ServerSelectionTimeoutError
    from redis.exceptions import AuthenticationError, ResponseError
    from redis.exceptions import ConnectionError as RedisConnectionError

    passing: list[Exception] = [
        ConnectionRefusedError(),
        TimeoutError(),
        FileNotFoundError("a socket"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.TooManyConnectionsError(),
        asyncpg.ConnectionDoesNotExistError(),
        OperationalError(2003, "Can't connect"),
        OperationalError(1040, "Too many connections"),
        ServerSelectionTimeoutError(),
        RedisConnectionError(),
        ResponseError("LOADING Redis is loading the dataset in memory"),
    ]
    lasting: list[Exception] = [
        asyncpg.InvalidPasswordError(),
        asyncpg.InvalidCatalogNameError("no such database"),
        OperationalError(1045, "Access denied"),
        OperationalError(1049, "Unknown database"),
        OperationFailure("Authentication failed.", 18),
        AuthenticationError(),
        ResponseError("WRONGPASS invalid username-password pair"),
        ResponseError("ERR DB index is out of range"),
        ssl.SSLCertVerificationError(),
        PermissionError(),
        ValueError(),
    ]
    for errors, expected in ((passing, True), (lasting, False)):
        for error in errors:
            assert is_passing(caused(error)) is expected, repr(error)


@pytest.mark.parametrize("option", ["database", "session_store", "events"])
async def test_a_server_that_starts_later(option: str, caplog: pytest.LogCaptureFixture) -> None:
    """The service waits, says once why, and opens as soon as it is there."""
    module = server_module("redis")
    with module.server() as server:
        options: dict[str, Any] = {"database": "memory://", option: module.fresh_url(server)}
        server.kill()

        async def begin() -> None:
            async with asyncio.timeout(WATCHDOG):
                while "waiting" not in caplog.text:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(1)
            server.start()

        starting = asyncio.create_task(begin())
        async with open_service(method_module=METHODS, start_timeout=WATCHDOG * 9, **options) as service:
            await service.accounts.create("ada", None)
            assert await service.sessions.create("ada")
        await starting
    [line] = [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()]
    assert re.match(r"Cannot open the (database|events) redis://127.*; waiting, for \d+ s at most", line)


async def test_the_time_is_over() -> None:
    """Then it is the error that it would have been at once."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    with pytest.raises(Unavailable, match="Cannot open the database"):
        async with asyncio.timeout(WATCHDOG):
            async with open_service(method_module=METHODS, database=url, start_timeout=0.7):
                pass


async def test_what_waiting_does_not_mend(servers: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password, or a database that doesn't exist, is told at once."""
    url = server_module("postgresql").fresh_url(servers("postgresql"))
    redis = server_module("redis").fresh_url(servers("redis"))
    wrong = [
        {"database": re.sub(r"/\w+(\?|$)", r"/none\1", url)},
        {"database": redis.replace("redis://", "redis://nobody:wrong@")},
        {"database": "sqlite:////nowhere/at/all/toto.db"},
    ]
    for options in wrong:
        with pytest.raises(Unavailable, match="Cannot open the database"):
            async with asyncio.timeout(WATCHDOG):
                async with open_service(method_module=METHODS, start_timeout=WATCHDOG * 9, **options):
                    pass
    assert "waiting" not in caplog.text


@pytest.mark.parametrize("processes", [1, 2])
async def test_the_processes_of_a_server(tmp_path: Path, processes: int) -> None:
    """A signal ends the wait at once, without an error; once the database is there, they all serve."""
    module = server_module("redis")
    with module.server() as redis:
        url = module.fresh_url(redis)
        redis.kill()
        command = (*SERVE, "--port=0", f"--processes={processes}", f"--database={url}", "--start-timeout=1h")
        server = await start(tmp_path, *command)
        await server.wait_for("; waiting, for 3600 s at most (start_timeout)")
        assert await server.end() == 0
        assert not [line for line in server.lines if "Traceback" in line or "Error" in line], server.lines
        server = await start(tmp_path, *command)
        try:
            await server.wait_for("; waiting")
            redis.start()
            await server.wait_for("Serving on")
            ada = {"user_id": "ada", "password": "correct horse"}
            created = await server.call({"method": "account.create", "parameters": ada})
            assert created["result"]["user_id"] == "ada"
        finally:
            await server.end()
