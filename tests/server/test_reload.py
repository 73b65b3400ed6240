"""Tests of ``autoreload``, as the author of methods sees it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp

from tests.server.test_master import version, version_of
from tests.support.programs import SERVE, serving, start, write

RELOADING = (*SERVE, "--port=0", "--autoreload")


async def test_a_changed_method(tmp_path: Path) -> None:
    """It is served, even on a connection that was open before."""
    write(tmp_path, methods__version=version_of(1))
    async with serving(tmp_path, *RELOADING) as server, aiohttp.ClientSession() as client:

        async def call() -> int:
            async with client.post(server.address, json={"method": "version"}) as response:
                return int((await response.json())["result"])

        assert await call() == 1
        write(tmp_path, methods__version=version_of(2))
        await server.wait_for("methods/version.py")
        await server.wait_for("Serving on ")
        version = 1
        async with asyncio.timeout(20):
            while version == 1:
                with suppress(aiohttp.ClientConnectionError):  # the old process closes its connections
                    version = await call()
        assert version == 2


async def test_the_same_length_within_a_second(tmp_path: Path) -> None:
    """Code that changes quickly is not confused with what was compiled before."""
    write(tmp_path, methods__version="async def invoke(h, p): return 1")
    async with serving(tmp_path, *RELOADING) as server:
        for number in (2, 3, 4):
            write(tmp_path, methods__version=f"async def invoke(h, p): return {number}")
            await server.wait_for("Serving on ")
            assert await version(server) == number


async def test_a_syntax_error(tmp_path: Path) -> None:
    """It is shown with its file and without toto_aio's own frames; the last good code keeps serving."""
    write(tmp_path, methods__version=version_of(1))
    async with serving(tmp_path, *RELOADING) as server:
        write(tmp_path, methods__version="async def invoke(")
        await server.wait_for("methods/version.py, line 1: SyntaxError")
        assert "the old processes keep serving" in server.lines[-1]
        assert not any("toto_aio/registry.py" in line for line in server.lines)
        assert await version(server) == 1
        write(tmp_path, methods__version=version_of(3))
        await server.wait_for("Serving on ")
        assert await version(server) == 3


async def test_new_methods_settings_and_what_is_of_no_interest(tmp_path: Path) -> None:
    """A new Python file and the file of options cause a restart; others do not."""
    write(tmp_path, methods__version=version_of(1))
    (tmp_path / "toto.toml").write_text("port = 0")
    async with serving(tmp_path, *SERVE, "toto.toml", "--autoreload") as server:
        (tmp_path / "notes.txt").write_text("no code")
        (tmp_path / "methods" / "version.pyc").write_text("no code")
        (tmp_path / ".venv").mkdir()
        (tmp_path / ".venv" / "library.py").touch()
        write(tmp_path, methods__new=version_of(7))
        assert "new.py" in await server.wait_for("changed: ")
        await server.wait_for("Serving on ")
        assert (await server.call({"method": "new"}))["result"] == 7
        (tmp_path / "toto.toml").write_text("port = 0\nroot = '/other'")
        assert (await server.wait_for("changed: ")).endswith("changed: toto.toml")
        await server.wait_for("/other")
        assert not any("notes" in line or "pyc" in line or "library" in line for line in server.lines)


def test_without_the_library(tmp_path: Path) -> None:
    """One line says what to install."""
    code = (
        "import sys; sys.modules['watchfiles'] = None; "
        "from toto_aio.cli.main import main; main(['serve', '--port=0', '--autoreload'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr == "toto-aio: autoreload needs watchfiles: pip install 'toto-aio[autoreload]'\n"


async def test_code_that_never_ends(tmp_path: Path) -> None:
    """A module that hangs at its import is left as soon as it changes, at the first start and later."""
    hanging = "import sys, time\nprint('hanging', file=sys.stderr, flush=True)\ntime.sleep(1000)"
    write(tmp_path, methods__version=hanging)
    server = await start(tmp_path, *RELOADING)
    try:
        for number in (1, 2):
            await server.wait_for("hanging")
            write(tmp_path, methods__version=version_of(number))
            await server.wait_for("Serving on ")
            assert await version(server) == number
            write(tmp_path, methods__version=hanging)
        await server.wait_for("hanging")
        assert await version(server) == 2
        assert await server.end() == 0
    finally:
        if server.process.returncode is None:
            server.process.kill()
            await server.process.communicate()
