"""A private MariaDB, for everything that uses MySQL's protocol."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from tests.support.servers import Server, run

USER = "toto"
PASSWORD = "p@ss:w/rd %41"
"""A password that must be encoded in a URL."""

_numbers = itertools.count(1)


def server() -> Server:
    """MariaDB, without the machine's configuration."""
    return Server(_command, user="mysql", is_ready=_is_ready)


def fresh_url(server: Server) -> str:
    """Create a database, and return its URL, for a user who has access only to the test databases."""
    name = f"toto_{next(_numbers)}"
    sql(
        server,
        f"CREATE DATABASE {name}; "
        f"CREATE USER IF NOT EXISTS {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; "
        f"GRANT ALL ON {name}.* TO {USER}@'127.0.0.1'",
    )
    return url(server, name)


def url(server: Server, name: str, scheme: str = "mysql") -> str:
    """The URL of a database on the server."""
    return f"{scheme}://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/{name}"


def sql(server: Server, statements: str) -> str:
    """Run statements as the administrator, and return what they print."""
    command = ["mariadb", *_address(server.port), "--batch", "--skip-column-names", "-e", statements]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _command(directory: Path, port: int) -> Sequence[str]:
    data = f"--datadir={directory}/data"
    install = ["mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal"]
    run([*install, "--skip-test-db"], "mysql")
    local = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={directory}/socket"]
    return ["mariadbd", "--no-defaults", data, *local, f"--pid-file={directory}/pid"]


def _address(port: int) -> list[str]:
    return ["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", f"--port={port}", "--user=root"]


def _is_ready(port: int) -> bool:
    command = ["mariadb-admin", *_address(port), "--silent", "ping"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode == 0
