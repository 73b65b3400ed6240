"""Debian's nginx, with the sites of a folder, in a private folder."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.servers import Server, descendants

WORKER = "www-data"
"""The user of its workers if the tests run as root, as on Debian."""
RELOAD_LIMIT = 30.0
"""Seconds in which a reload must take effect."""
FROM = "X-Comes-From"
"""The header with a client's address, as all clients of a test run on this machine."""


class Nginx(Server):
    """nginx, which can reload its sites without a pause."""

    def reload(self) -> None:
        """Reload the configuration, and wait until new workers serve and the old ones have ended."""
        before = set(descendants(self.pid))
        os.kill(self.pid, signal.SIGHUP)
        deadline = time.monotonic() + RELOAD_LIMIT
        while not (now := set(descendants(self.pid))) or now & before:
            assert time.monotonic() < deadline, (self.directory / "error.log").read_text()
            time.sleep(0.01)


def server(sites: Path) -> Nginx:
    """nginx with the files of the folder ``sites``; ``port`` serves a default site, as on Debian."""
    return Nginx(lambda directory, port: _command(directory, port, sites))


def command(directory: Path) -> list[str]:
    """The command that runs nginx with the configuration in ``directory``."""
    return ["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf")]


def _command(directory: Path, port: int, sites: Path) -> Sequence[str]:
    directory.chmod(0o755)  # for its workers
    user = f"user {WORKER};" if os.getuid() == 0 else ""
    (directory / "nginx.conf").write_text(
        f"""{user}
daemon off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{
    worker_connections 768;
}}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    scgi_temp_path {directory}/scgi;
    uwsgi_temp_path {directory}/uwsgi;
    set_real_ip_from 127.0.0.0/8;
    real_ip_header {FROM};
    server {{
        listen 127.0.0.1:{port};
        return 204;
    }}
    include {sites}/*;
}}
"""
    )
    return command(directory)
