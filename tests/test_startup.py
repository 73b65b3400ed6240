"""The start of ``serve`` is light: what it imports is counted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

MODULES = 700
"""It imports about 530, of which aiohttp brings most."""


def test_the_start_of_serve(tmp_path: Path) -> None:
    """With its default database it imports few modules and no driver of another."""
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "toto_aio", "serve", "--port=0"],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if not name.startswith("TOTO_AIO_")},
            stdout=stderr,
            stderr=stderr,
        )
    try:
        deadline = time.monotonic() + 60
        while "Serving on" not in log.read_text():
            assert process.poll() is None, log.read_text()[-1000:]
            assert time.monotonic() < deadline, log.read_text()[-1000:]
            time.sleep(0.02)
    finally:
        process.terminate()
        process.wait(60)
    lines = log.read_text().splitlines()
    modules = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert {"toto_aio.app", "aiosqlite"} <= modules
    assert len(modules) < MODULES
    assert not any(each.startswith(("toto_aio.centrifuge", "google.")) for each in modules)
    assert not modules & {"asyncpg", "redis", "asyncmy", "aiomysql", "pymongo", "motor", "prometheus_client"}
