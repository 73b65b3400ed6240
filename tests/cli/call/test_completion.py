"""Completion by the shell: what Tab offers, and that bash puts it into the line."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.call.conftest import Run
from toto_aio.cli.call import kept
from toto_aio.cli.call.completion import SCRIPTS, completions
from toto_aio.client import SessionCredentials

COLORS = ["blue", "red"]


def test_what_tab_offers(run: Run, urls: Mapping[str, str], folder: None) -> None:
    """Commands, services that are known, methods, their parameters and values, files."""
    url = urls["off"]
    kept.keep(url, SessionCredentials("s" * 43, "ada"), "off")
    Path("Photo.png").touch()
    Path("photos").mkdir()
    for line, expected in {
        "toto-aio lo": ["login", "logout"],
        "toto-aio call ": [".", url],
        "toto-aio login h": [url],
        "cd /; toto-aio call . notes.": ["notes.add", "notes.listed", "notes.mine", "notes.photo"],
        f"toto-aio call {url} notes.l": ["notes.listed"],
        "toto-aio call . notes.add --t": ["--tags=", "--timeout=", "--title="],
        "toto-aio call . notes.add --title=x --ti": ["--timeout="],
        "toto-aio call . notes.add --don": ["--done"],
        "toto-aio call . notes.add --color=": ["--color=blue", "--color=red"],
        "toto-aio call . notes.photo --picture=@p": ["--picture=@photos/"],
        "toto-aio call --js": ["--json"],
        "toto-aio call . nothing --js": ["--json"],
        "toto-aio call nowhere.toml no": [],
        "toto-aio call http://127.0.0.1:1/service no": [],
        "toto-aio call . 'no": [],
        "toto-aio serve --port=": ["--port="],
        "toto-aio new --t": ["--template"],
        "toto-aio nothing --": [],
        "": [],
    }.items():
        assert run("completion", "bash", f"--line={line}").out.splitlines() == expected, line
    line = "toto-aio call . notes.add --color="
    assert run("completion", "bash", f"--line={line}", "--breaks==: \n").out.splitlines() == COLORS


def test_a_stranger_s_document(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """Names that the shell would run are not offered, and what is no document gives nothing."""
    from toto_aio.cli.call import document, remote

    documents: list[Any] = [
        {"paths": {"/x": {"post": {"operationId": "$(touch x)"}}, "/y": {"post": {"operationId": "fine"}}}},
        {"paths": [], "components": {"schemas": 5}},
        {"paths": {"/x": 5, "/y": {"post": {"operationId": ["fine"], "requestBody": []}}}},
        {"paths": {"/x": {"post": {"operationId": "\x1b[2J"}}}},
    ]
    offered = []
    for each in documents:
        found = document.Document(json.loads(json.dumps(each)))

        async def of(self: Any, found: Any = found) -> Any:
            return found

        monkeypatch.setattr(remote.Remote, "document", of)
        offered.append(completions("toto-aio call http://h/s ", {}))
    assert offered == [["fine"], [], [], []]
    loop = {"components": {"schemas": {"A": {"$ref": "#/components/schemas/A"}}}}
    assert document.Document(loop).resolved({"$ref": "#/components/schemas/A"}) == {}


def test_bash(tmp_path: Path) -> None:
    """bash itself completes a line with the script, and Ctrl-C ends the call, with status 130."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "hello.py").write_text(
        "import asyncio\n"
        "from typing import Literal\n"
        "async def invoke(name: str, mood: Literal['glad', 'sad'] = 'glad'):\n"
        "    print('waiting', flush=True)\n"
        "    try:\n"
        "        await asyncio.sleep(600)\n"
        "    finally:\n"
        "        print('cancelled', flush=True)\n"
    )
    (tmp_path / "toto.toml").write_text('database = "memory://"')
    rc = tmp_path / "rc"
    rc.write_text('PS1="> "; eval "$(toto-aio completion bash)"; bind "set bell-style none"\n')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOTO_AIO_")}
    said = in_terminal(
        ["bash", "--noprofile", "--rcfile", str(rc), "-i"],
        [
            ("> ", "toto-aio call . hello --name=Ada --mo\tg\t\n"),
            ("waiting\n", "\x03"),
            ("> ", "echo status $?; exit\n"),
        ],
        tmp_path,
        {
            **environment,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
            "TERM": "dumb",
            "HISTFILE": "",
        },
    )
    assert "toto-aio call . hello --name=Ada --mood=glad" in said, said
    assert "cancelled\n" in said
    assert "status 130\n" in said


def test_scripts(run: Run) -> None:
    """There is one for each shell, and another name is refused."""
    for shell in SCRIPTS:
        assert run("completion", shell).out == SCRIPTS[shell]
    assert "write one of bash, zsh, fish, not 'tcsh'" in run("completion", "tcsh").err
    checked = subprocess.run(
        ["bash", "-n"], input=SCRIPTS["bash"], text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def in_terminal(
    command: list[str], dialogue: list[tuple[str, str]], folder: Path, environment: dict[str, str]
) -> str:
    """What a command writes to a terminal, on which each text is typed once another has appeared."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    said, read = "", 0
    try:
        for awaited, typed in dialogue:
            while awaited not in said[read:]:
                said += os.read(ours, 65536).decode(errors="replace").replace("\r\n", "\n")
            read = len(said)
            os.write(ours, typed.encode())
        with suppress(OSError):  # the terminal is gone with its program
            while more := os.read(ours, 65536):
                said += more.decode(errors="replace").replace("\r\n", "\n")
        process.wait(60)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return said
