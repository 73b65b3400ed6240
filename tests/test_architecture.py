"""The layers: imports point down, and importing the package imports no driver."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import toto_aio

SOURCE = Path(toto_aio.__file__).parent
FLOORS: dict[str, int] = {
    name: floor
    for floor, names in enumerate(
        (
            "exceptions models methods deadlines calls readers view drain",
            "codecs calllog stream watch",
            "settings passwords signing arguments stores brokers frames",
            "accounts proxies inbox outbox",
            "throttle subscription",
            "sessions events",
            "caller",
            "invocation",
            "handler registry",
            "dispatch",
            "response",
            "signed",
            "origins forms",
            "cookies cors bodies",
            "callers websocket",
            "reply logs sockets fast",
            "processes parts health",
            "service metrics",
            "app",
            "wire server check listing new",
            "client_socket",
            "client cli",
            "testing",
            "__main__ __init__ templates",
        )
    )
    for name in names.split()
}


def imports(path: Path) -> Iterator[str]:
    """The packages that a file imports when it is imported itself."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("toto_aio."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".")[1] for name in node.names if name.name.startswith("toto_aio."))


def test_imports_point_down() -> None:
    """No package imports from a layer above its own; built-in methods are written like any others."""
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room != "methods":
            for other in imports(path):
                assert other == room or FLOORS[other] < FLOORS[room] or {other, room} <= SAME_FLOOR, (
                    path,
                    other,
                )


SAME_FLOOR = {"settings", "stores", "brokers", "arguments"}


def test_importing_imports_no_driver() -> None:
    """A driver is imported when its URL is opened."""
    code = "import sys, toto_aio; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(modules.stdout.split())
    assert "toto_aio.app" in loaded
    assert not loaded & {"aiosqlite", "sqlite3", "pymongo", "asyncpg", "redis", "asyncmy", "uvloop"}


def test_importing_needs_no_fcntl() -> None:
    """The library can be imported and embedded where Unix locks do not exist."""
    code = (
        "import sys; sys.modules['fcntl'] = None; import toto_aio; toto_aio.create_app(database='memory://')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_file_is_too_long() -> None:
    """A file is short enough to read in one sitting."""
    for path in SOURCE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
