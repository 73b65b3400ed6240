"""What systemd would do with the units of a folder, as far as processes without a sandbox can show it.

Commands, environment, folders, the umask and (as root) the group are those of the unit. Sandboxing and
restarts are not simulated: ``systemd-analyze verify`` checks those settings.
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

from tests.support.starts import read_at_the_start

STOP_LIMIT = 20.0
"""Seconds in which a service must end."""
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    **{name: value for name, value in read_at_the_start(os.environ).items() if not name.startswith("COV")},
}
"""The environment variables of every service; its language is that of the tests, so that forks do."""


class Systemd:
    """The services of a machine whose folders are below ``root``; all their output is in ``journal``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._services: dict[str, subprocess.Popen[bytes]] = {}
        self.journal = root / "journal"
        self.journal.touch()

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The main process of a running service."""
        return self._services[name]

    def start(self, name: str) -> None:
        """Start a service, or run a service of type ``oneshot`` to its end."""
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
        """Run the commands that reload a service."""
        unit = Unit(self._root / "etc/systemd/system" / f"{name}.service")
        commands = list(unit.commands("ExecReload", str(self._services[name].pid)))
        assert commands, f"{name} cannot be reloaded"
        for command in commands:
            self._run(command, self._options(unit))

    def stop(self, name: str) -> None:
        """Stop a service, and kill what its main process leaves behind (``KillMode=mixed``)."""
        process = self._services.pop(name)
        process.terminate()
        try:
            # Before it serves, TERM itself may end it, which systemd counts as a clean exit too.
            assert process.wait(STOP_LIMIT) in (0, -signal.SIGTERM), self.journal.read_text()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            shutil.rmtree(self._root / "run" / name, ignore_errors=True)

    def close(self) -> None:
        """Stop all services."""
        for name in tuple(self._services):
            self.stop(name)

    def _run(self, command: Sequence[str], options: dict[str, Any]) -> None:
        with self.journal.open("ab") as journal:
            status = subprocess.run(command, **options, stdout=journal, stderr=journal, timeout=60).returncode
        assert status == 0, (command, self.journal.read_text())

    def _options(self, unit: Unit) -> dict[str, Any]:
        """Create the folders of a unit, and return the options with which its processes are run."""
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
            for name in unit.get(f"{kind}Directory").split():
                folder = self._root / place / name
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(int(unit.get(f"{kind}DirectoryMode") or "0755", 8))
                os.chown(folder, -1, options.get("group", -1))
        return options


class Unit:
    """The settings of a unit file."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text().replace("\\\n", " ").splitlines()
        written = (line.partition("=") for line in lines if line[:1] not in "#;[")
        self._lines = [(name, value.strip()) for name, _, value in written]

    def get(self, name: str) -> str:
        """The effective value of a setting, which is the last."""
        return ["", *self._all(name)][-1]

    def commands(self, name: str, main: str = "") -> Iterator[list[str]]:
        """The commands of a setting; ``main`` is the id of the main process."""
        for line in self._all(name):
            yield [word.replace("%%", "%").replace("$MAINPID", main) for word in shlex.split(line)]

    def environment(self) -> dict[str, str]:
        """The variables that the unit sets, overridden by those of its files."""
        files = [Path(name.removeprefix("-")) for name in self._all("EnvironmentFile")]
        lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
        return dict(line.split("=", 1) for line in (*self._all("Environment"), *lines) if "=" in line)

    def _all(self, name: str) -> list[str]:
        return [value for other, value in self._lines if other == name]
