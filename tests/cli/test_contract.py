"""Tests of ``toto-aio contract``, and of ``toto-aio check --contract``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.programs import write
from toto_aio.cli.main import main

BEFORE = '''
from toto_aio import method


@method
async def add(title: str, limit: int = 3) -> list[str]:
    """Add a note."""
    return [title]
'''
FINE = BEFORE.replace("limit: int = 3", "limit: int | None = 3, color: str = 'red'").replace("Add", "Keep")
BROKEN = BEFORE.replace("title", "heading")


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, object]:
    """What the comparison prints, and its status."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "contract_of_a_test"]:
        del sys.modules[name]
    with pytest.raises(SystemExit) as ended:
        main(["check", "--contract=contract.json", "--method-module=contract_of_a_test", *arguments])
    return capsys.readouterr().out, ended.value.code


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A contract is written, and a later check names what breaks old clients, and what does not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write(tmp_path, contract_of_a_test__notes=BEFORE)
    arguments = ["contract", "--method-module=contract_of_a_test", "--database=sqlite:///here.db"]
    main(arguments)
    printed = capsys.readouterr().out
    assert list(json.loads(printed)["methods"]) == ["notes.add"]
    main([*arguments, "-o", "contract.json"])
    assert (tmp_path / "contract.json").read_text() == printed
    assert not (tmp_path / "here.db").exists()
    options = ("--error-status=http", "--method-select=parameter", "--get-methods=all")
    assert checked(capsys, *options) == ("Nothing has changed for clients.\n", 0)
    write(tmp_path, contract_of_a_test__notes=FINE)
    said, status = checked(capsys)
    assert (status, said.splitlines()) == (
        0,
        [
            "fine: notes.add: parameters.color: it is new",
            "fine: notes.add: parameters.limit: integer or null is taken now, integer was",
            "Nothing breaks old clients.",
        ],
    )
    write(tmp_path, contract_of_a_test__notes=BROKEN)
    said, status = checked(capsys)
    assert (status, said.splitlines()) == (
        1,
        [
            "breaks: notes.add: parameters.heading: it is needed now",
            "breaks: notes.add: parameters.title: it is not taken any more",
            "2 of 2 changes break old clients.",
        ],
    )


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what is wrong, and what to write."""
    monkeypatch.chdir(tmp_path)
    command = ["check", "--method-module=toto_aio.methods", "--contract=contract.json"]
    with pytest.raises(SystemExit, match=r"write it with toto-aio contract -o contract\.json"):
        main(command)
    for text in (
        "{",
        "[]",
        '{"version": 9, "methods": {}}',
        '{"version": 1, "methods": {"a": {"roles": 3}}}',
    ):
        (tmp_path / "contract.json").write_text(text)
        with pytest.raises(SystemExit, match=r"contract\.json: not a contract: \w"):
            main(command)
