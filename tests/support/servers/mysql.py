"""A MariaDB of the tests' own, for everything that speaks MySQL's protocol."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from tests.support.servers import Server, run

USER = "toto"
PASSWORD = "p@ss:w/rd %41"
"""One that a URL has to encode."""

_numbers = itertools.count(1)


def server() -> Server:
    """MariaDB with no settings of the machine's."""
    return Server(_command, user="mysql", is_ready=_is_ready)


def fresh_url(server: Server) -> str:
    """A new database on it, of a user who has no others."""
    name = f"toto_{next(_numbers)}"
    sql(
        server,
        f"CREATE DATABASE {name}; "
        f"CREATE USER IF NOT EXISTS {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; "
        f"GRANT ALL ON {name}.* TO {USER}@'127.0.0.1'",
    )
    return url(server, name)


def url(server: Server, name: str, scheme: str = "mysql") -> str:
    """The URL of a database on it."""
    return f"{scheme}://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/{name}"


def sql(server: Server, statements: str) -> str:
    """Run statements as the administrator; what they printed."""
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
