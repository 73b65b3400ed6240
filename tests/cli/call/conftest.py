"""Services for ``toto-aio call``, one for each scheme, in a thread: the command has a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from toto_aio.cli.main import main
from toto_aio.testing import serving

METHODS = "tests.cli.call.service"
SCHEMES = ("off", "user_id", "toto1", "session")
Run = Callable[..., "Done"]


class Done(tuple[int, str, str]):
    """How a command ended: its status, and what it wrote to stdout and stderr."""

    @property
    def status(self) -> int:
        """The exit status."""
        return self[0]

    @property
    def out(self) -> str:
        """What it wrote to stdout."""
        return self[1]

    @property
    def err(self) -> str:
        """What it wrote to stderr."""
        return self[2]


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run ``toto-aio`` in this process, with a folder of its own for sessions."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def run(*arguments: str) -> Done:
        status: Any = 0
        try:
            main(arguments)
        except SystemExit as exc:
            status = exc.code
        out, err = capfdbinary.readouterr()
        if isinstance(status, str):
            status, err = 1, err + status.encode()
        return Done((status or 0, out.decode(), err.decode()))

    return run


@pytest.fixture(scope="module")
def urls() -> Iterator[Mapping[str, str]]:
    """The URL of a service for each scheme, and of one ``hidden``, whose document is for users only."""
    with served(
        **{scheme: {"signing": scheme} for scheme in SCHEMES},
        hidden={"signing": "off", "openapi": "authenticated", "error_status": "http"},
    ) as found:
        yield found


@pytest.fixture
def url(urls: Mapping[str, str]) -> str:
    """The URL of a service that asks for no signatures."""
    return urls["off"]


@contextmanager
def served(**options: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Serve the methods with each of these options until the end of the block; the URL of each."""
    found: dict[str, str] = {}
    loops: list[asyncio.AbstractEventLoop] = []
    started = threading.Event()
    ended = asyncio.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            loops.append(asyncio.get_running_loop())
            for name, given in options.items():
                own = {"methods": METHODS, **given}
                client = await stack.enter_async_context(serving(**own))
                found[name] = str(client.url)
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield found
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(60)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, with a service of the same methods."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "toto.toml").write_text(f'method_module = "{METHODS}"\ndatabase = "sqlite:///toto.db"\n')
    monkeypatch.chdir(home)
