"""A private PostgreSQL. It refuses to run as root, and its programs are not on the PATH."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from tests.support.servers import Server, run

USER = "postgres"
PASSWORD = "p@ss:w/rd %41 ü"
"""A password that must be encoded in a URL."""


class PostgreSQL(Server):
    """A server that is stopped with INT, as after TERM it waits for its clients to disconnect."""

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGINT)
        super().stop()


def server() -> Server:
    """PostgreSQL with its data on disk, as a crash must lose nothing."""
    return PostgreSQL(_command, user=USER, is_ready=_is_ready)


def fresh_url(server: Server) -> str:
    """The URL of a new schema on the server, as creating a database takes a fifth of a second."""
    name = server.spare(lambda names: sql(server, "; ".join(f"CREATE SCHEMA {name}" for name in names)))
    return f"{url(server)}?search_path={name}"


def url(server: Server, name: str = "postgres") -> str:
    """The URL of a database on the server."""
    return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/{name}"


def sql(server: Server, statement: str) -> str:
    """Run a statement as the administrator, and return what it prints."""
    command = [
        "psql",
        "-XqAt",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        "127.0.0.1",
        "-p",
        str(server.port),
        "-U",
        USER,
    ]
    environment = {**os.environ, "PGPASSWORD": PASSWORD}
    command = [*command, "-d", "postgres", "-c", statement]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def _command(directory: Path, port: int) -> Sequence[str]:
    password = directory / "password"
    password.write_text(PASSWORD)
    initdb = ["initdb", "--username", USER, "--auth=scram-sha-256", "--pwfile", str(password)]
    run([_program(initdb[0]), *initdb[1:], "--encoding=UTF8", "--no-sync", str(directory / "data")], USER)
    options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": directory}
    settings = [item for name, value in options.items() for item in ("-c", f"{name}={value}")]
    return [_program("postgres"), "-D", str(directory / "data"), *settings]


def _program(name: str) -> str:
    newest = max(Path("/usr/lib/postgresql").iterdir(), key=lambda folder: float(folder.name))
    return str(newest / "bin" / name)


def _is_ready(port: int) -> bool:
    command = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(command).returncode == 0
