"""The peers' environment, ``benchmarks/.venv-peers``: made if it is missing or out of date."""

from __future__ import annotations

import json
import subprocess
import venv
from collections.abc import Iterable
from pathlib import Path

from benchmarks.harness import Failure, progress

FOLDER = Path(__file__).with_name(".venv-peers")
REQUIREMENTS = Path(__file__).with_name("peers") / "requirements.txt"
FIND = """import importlib.util, json, sys
print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name)]))"""


def peers_python(modules: Iterable[str]) -> tuple[Path, set[str]]:
    """The interpreter of the peers, and which of these modules it has."""
    python = FOLDER / "bin" / "python"
    stamp = FOLDER / "installed"
    if not stamp.exists() or stamp.stat().st_mtime < REQUIREMENTS.stat().st_mtime:
        progress(f"installing the peers of {REQUIREMENTS.name} into {FOLDER.name}")
        venv.create(FOLDER, with_pip=True)
        install(python)
        stamp.touch()
    command = [str(python), "-c", FIND, *modules]
    found = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  # an interpreter of ours
    if found.returncode:
        raise Failure(f"remove {FOLDER} and try again: {found.stderr}")
    return python, set(json.loads(found.stdout))


def install(python: Path) -> None:
    """Install all peers at once or, if that fails, those that can be installed."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--upgrade"]
    if subprocess.run([*pip, "--requirement", str(REQUIREMENTS)]).returncode == 0:  # noqa: S603
        return
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    for line in filter(None, lines):
        if subprocess.run([*pip, line]).returncode:  # noqa: S603
            progress(f"{line} cannot be installed here; what needs it is left out")
