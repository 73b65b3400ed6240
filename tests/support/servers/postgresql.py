"""A private PostgreSQL. It refuses to run as root, and its programs are not on the PATH."""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import subprocess
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from tests.support.servers import Server, run
from tests.support.servers.templates import install

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
    password.write_text(_verifier(PASSWORD))
    initdb = ["initdb", "--username", USER, "--auth=scram-sha-256", "--pwfile", str(password)]
    command = [_program(initdb[0]), *initdb[1:], "--encoding=UTF8", "--no-sync", str(directory / "data")]
    install(directory / "data", "postgresql", lambda: run(command, USER))
    options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": directory}
    settings = [item for name, value in options.items() for item in ("-c", f"{name}={value}")]
    return [_program("postgres"), "-D", str(directory / "data"), *settings]


def _verifier(password: str) -> str:
    """What the server keeps of a password, hashed once: each connection repeats what is 4096 times."""
    salt = b"of the tests"
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    of_server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (b64encode(each).decode() for each in (salt, stored, of_server))
    return f"SCRAM-SHA-256$1:{salt64}${stored64}:{server64}"


def _program(name: str) -> str:
    newest = max(Path("/usr/lib/postgresql").iterdir(), key=lambda folder: float(folder.name))
    return str(newest / "bin" / name)


def _is_ready(port: int) -> bool:
    command = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(command).returncode == 0
