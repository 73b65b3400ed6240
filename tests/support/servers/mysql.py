"""A private MariaDB, for everything that uses MySQL's protocol."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

from tests.support.servers import Server, run
from tests.support.servers.templates import install

USER = "toto"
PASSWORD = "p@ss:w/rd %41"
"""A password that must be encoded in a URL."""
LOG_SIZE = "--innodb-log-file-size=32M"
"""Less than the default, as a copy of the data has it."""


def server(*options: str) -> Server:
    """MariaDB, without the machine's configuration; with ``options`` such as ``--innodb-page-size=4k``."""
    return Server(
        lambda directory, port: _command(directory, port, options), user="mysql", is_ready=_is_ready
    )


def fresh_url(server: Server) -> str:
    """The URL of an empty database, for a user who has access only to the test databases."""
    return url(server, server.spare(partial(_create, server)))


def url(server: Server, name: str, scheme: str = "mysql") -> str:
    """The URL of a database on the server."""
    return f"{scheme}://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/{name}"


def sql(server: Server, statements: str) -> str:
    """Run statements as the administrator, and return what they print."""
    command = ["mariadb", *_address(server.port), "--batch", "--skip-column-names", "-e", statements]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _create(server: Server, names: Sequence[str]) -> None:
    user = f"{USER}@'127.0.0.1'"
    made = [f"CREATE DATABASE {name}; GRANT ALL ON {name}.* TO {user}" for name in names]
    sql(server, "; ".join([f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{PASSWORD}'", *made]))


def _command(directory: Path, port: int, options: Sequence[str] = ()) -> Sequence[str]:
    data = f"--datadir={directory}/data"
    installer = ["mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal"]
    # The tables of the server itself have no keys for what some options require.
    sizes = [option for option in options if option.startswith("--innodb-page-size")]
    command = [*installer, "--skip-test-db", LOG_SIZE, *sizes]
    install(directory / "data", "".join(["mysql", *sizes]), lambda: run(command, "mysql"))
    local = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={directory}/socket"]
    return ["mariadbd", "--no-defaults", data, *local, f"--pid-file={directory}/pid", LOG_SIZE, *options]


def _address(port: int) -> list[str]:
    return ["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", f"--port={port}", "--user=root"]


def _is_ready(port: int) -> bool:
    command = ["mariadb-admin", *_address(port), "--silent", "ping"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode == 0
