"""What systemd would do with the units of a folder, as far as processes without a sandbox can show it.

Commands, environment, folders, the mask and (as root) the group are as a unit says. What keeps a service from
the rest of the machine is not, nor does anything start it again: ``systemd-analyze verify`` reads that part.
"""

from __future__ import annotations

import grp
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

STOP_LIMIT = 20.0
"""Seconds that a service has to end."""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""What every service has."""


class Systemd:
    """The services of a machine whose folders are below ``root``; all that they say is in ``journal``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._services: dict[str, subprocess.Popen[bytes]] = {}
        self.journal = root / "journal"
        self.journal.touch()

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The main process of a service that runs."""
        return self._services[name]

    def start(self, name: str) -> None:
        """Start a service, or run one of type ``oneshot`` to its end."""
        unit = Unit(self._root / "etc/systemd/system" / f"{name}.service")
        options = self._options(unit)
        for command in unit.commands("ExecStartPre"):
            self._run(command, options)
        if unit.get("Type") == "oneshot":
            for command in unit.commands("ExecStart"):
                self._run(command, options)
            return
        assert name not in self._services, f"{name} runs already"
        (command,) = unit.commands("ExecStart")
        with self.journal.open("ab") as journal:
            self._services[name] = subprocess.Popen(
                command, **options, stdout=journal, stderr=journal, start_new_session=True
            )

    def reload(self, name: str) -> None:
        """Run the commands by which a service takes in what is new."""
        unit = Unit(self._root / "etc/systemd/system" / f"{name}.service")
        commands = list(unit.commands("ExecReload", str(self._services[name].pid)))
        assert commands, f"{name} cannot be reloaded"
        for command in commands:
            self._run(command, self._options(unit))

    def stop(self, name: str) -> None:
        """End a service; what its main process leaves behind is killed (``KillMode=mixed``)."""
        process = self._services.pop(name)
        process.terminate()
        try:
            # Before it serves it may end by TERM itself: that is a clean end to systemd too.
            assert process.wait(STOP_LIMIT) in (0, -signal.SIGTERM), self.journal.read_text()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            shutil.rmtree(self._root / "run" / name, ignore_errors=True)

    def close(self) -> None:
        """End all services."""
        for name in tuple(self._services):
            self.stop(name)

    def _run(self, command: Sequence[str], options: dict[str, Any]) -> None:
        with self.journal.open("ab") as journal:
            status = subprocess.run(command, **options, stdout=journal, stderr=journal, timeout=60).returncode
        assert status == 0, (command, self.journal.read_text())

    def _options(self, unit: Unit) -> dict[str, Any]:
        """How a process of a unit is run, once its folders are there."""
        options: dict[str, Any] = {
            "cwd": unit.get("WorkingDirectory") or "/",
            "env": {**ENVIRONMENT, **unit.environment()},
            "stdin": subprocess.DEVNULL,
            "umask": int(unit.get("UMask") or "0022", 8),
        }
        group = unit.get("Group")
        if group and os.getuid() == 0:
            options["group"] = grp.getgrnam(group).gr_gid
        for kind, place in (("Runtime", "run"), ("State", "var/lib")):
            if name := unit.get(f"{kind}Directory"):
                folder = self._root / place / name
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(int(unit.get(f"{kind}DirectoryMode") or "0755", 8))
                os.chown(folder, -1, options.get("group", -1))
        return options


class Unit:
    """The lines of a unit."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text().replace("\\\n", " ").splitlines()
        written = (line.partition("=") for line in lines if line[:1] not in "#;[")
        self._lines = [(name, value.strip()) for name, _, value in written]

    def get(self, name: str) -> str:
        """The value that counts: the last."""
        return ["", *self._all(name)][-1]

    def commands(self, name: str, main: str = "") -> Iterator[list[str]]:
        """The commands of a name; ``main`` is the id of the main process."""
        for line in self._all(name):
            yield [word.replace("%%", "%").replace("$MAINPID", main) for word in shlex.split(line)]

    def environment(self) -> dict[str, str]:
        """The variables that the unit sets, and then those of its files."""
        files = [Path(name.removeprefix("-")) for name in self._all("EnvironmentFile")]
        lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
        return dict(line.split("=", 1) for line in (*self._all("Environment"), *lines) if "=" in line)

    def _all(self, name: str) -> list[str]:
        return [value for other, value in self._lines if other == name]
