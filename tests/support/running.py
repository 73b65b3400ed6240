"""Programs that a test starts and ends: servers in separate processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(arguments: Sequence[str], folder: Path, timeout: float = 60) -> Iterator[str]:
    """Run Python with these arguments until it reports its address; yield that, and stop it afterwards."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOTO_AIO_")}
    with (folder / "server.log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, stdout=log, stderr=log, env=environment
        )
        try:
            yield _address(process, folder / "server.log", timeout)
        finally:
            process.terminate()
            process.wait(60)


def _address(process: subprocess.Popen[bytes], log: Path, timeout: float) -> str:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"(?:Serving|Running) on (http://\S+)", log.read_text()):
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"it does not serve: {log.read_text()}")
