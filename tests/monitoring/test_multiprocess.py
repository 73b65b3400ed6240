"""The commands of docs/processes.md, typed one after the other."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

from tests.server.test_master import WHO, everybody
from tests.support import ROOT
from tests.support.pages import blocks
from tests.support.programs import ENVIRONMENT, serving, write
from tests.support.servers import free_port
from toto_aio.server.signals import ENDING

PAGE = ROOT / "docs" / "processes.md"


async def test_the_commands(tmp_path: Path) -> None:
    """Each succeeds; the first serves with the stated number of processes."""
    port = free_port()
    write(tmp_path, methods__who=WHO)
    (tmp_path / "toto.toml").write_text(f"port = {port}\nevents = 'off'")
    first, *others = (block.code for block in blocks(PAGE) if block.language == "sh")
    program = [str(Path(sys.executable).with_name("toto-aio")), *first.split()[1:], "toto.toml"]
    async with serving(tmp_path, *program) as server:
        await everybody(server.address, 4)
        assert await server.end() == 0
    (script,) = (block.code for block in blocks(PAGE) if block.language == "python")
    (tmp_path / "run.py").write_text(script.replace("8888", str(port)))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**ENVIRONMENT, "PATH": path, "TOTO_AIO_PORT": str(port), "TOTO_AIO_EVENTS": "off"}
    for command in "\n".join(others).splitlines():
        process = await asyncio.create_subprocess_shell(command, cwd=tmp_path, env=environment)
        async with asyncio.timeout(60):
            assert await process.wait() == 0, command
    assert not (tmp_path / "toto.pid").exists()


def test_the_signals() -> None:
    """The signals in the table are the ones that the master handles."""
    text = PAGE.read_text()
    named = set(re.findall(r"^\| ([A-Z]+) \|", text, re.MULTILINE))
    assert named == {each.name.removeprefix("SIG") for each in (*ENDING, signal.SIGHUP)}
