"""Tests of ``toto-aio client``: clients of the service in this folder and of one that runs."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest

from tests.support.programs import write
from tests.support.service import Serve
from toto_aio import Handler
from toto_aio.cli.main import main

NOTES = '''
from toto_aio import method


@method
async def add(title: str, limit: int = 3) -> list[str]:
    """Add a note."""
    return [title]
'''


async def add(handler: Handler, title: str, limit: int = 3) -> list[str]:
    """Add a note."""
    return [title]


async def test_here_and_at_a_url(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are the same, whatever the options of the service; a file is written, and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write(tmp_path, methods_of_a_test__notes=NOTES)
    options = 'method_module = "methods_of_a_test"\nmethod_select = "parameter"\nerror_status = "http"\n'
    (tmp_path / "toto.toml").write_text(options)
    service = await serve({"notes.add": add}, openapi="authenticated")
    url = str(service.client.make_url("/service"))
    for language, wanted in (("typescript", "limit?: number"), ("python", "limit: NotRequired[int]")):
        await asyncio.to_thread(main, ["client", language])
        printed = capsys.readouterr().out
        assert wanted in printed
        assert "notes" in printed
        await asyncio.to_thread(main, ["client", language, ".", "-o", "made"])
        assert (tmp_path / "made").read_text() == printed
        # Without a session the service shows nothing.
        with pytest.raises(SystemExit) as failed:
            await asyncio.to_thread(main, ["client", language, url, "--timeout=30"])
        assert failed.value.code == 2
        assert "no openapi.json for you" in capsys.readouterr().err
    other = await serve({"notes.add": add})
    await asyncio.to_thread(main, ["client", "python", str(other.client.make_url("/service"))])
    made = capsys.readouterr().out
    ast.parse(made)
    assert "class NotesAddParameters(TypedDict)" in made


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["ruby"], 2, "write one of typescript, python, not 'ruby'"),
        (["python", "ftp://example.org"], 2, "write http://HOST/service"),
        (["python", "nowhere.toml"], 2, "nowhere.toml"),
        (["python", "http://127.0.0.1:1/service"], 6, "127.0.0.1"),
        (["python", ".", "--output=nowhere/made.py"], 1, "nowhere/made.py: No such file or directory"),
    ],
    ids=str,
)
def test_what_is_wrong(
    arguments: list[str],
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is one line that says what to write, and the status of a call that fails so."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOTO_AIO_METHOD_MODULE", "toto_aio.methods")
    with pytest.raises(SystemExit) as failed:
        main(["client", *arguments])
    code = failed.value.code
    assert said in (code if isinstance(code, str) else capsys.readouterr().err)
    assert (1 if isinstance(code, str) else code) == status
