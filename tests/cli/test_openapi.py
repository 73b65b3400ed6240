"""Tests of ``toto-aio openapi``: the document of a service without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from toto_aio.cli.main import main


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the document or writes it, by the options of the service, and opens no database."""
    monkeypatch.chdir(tmp_path)
    arguments = ["openapi", "--method-module=toto_aio.methods", "--root=/api", "--database=sqlite:///here.db"]
    main(arguments)
    printed = capsys.readouterr().out
    document = json.loads(printed)
    validate(document)
    assert "/api/account/login" in document["paths"]
    main([*arguments, "-o", "openapi.json"])
    assert (tmp_path / "openapi.json").read_text() == printed
    assert [path.name for path in tmp_path.iterdir()] == ["openapi.json"]
    with pytest.raises(SystemExit, match=r"nowhere/openapi\.json: No such file or directory"):
        main([*arguments, "--output=nowhere/openapi.json"])
    assert capsys.readouterr().out == ""


def test_a_wrong_package() -> None:
    """What is wrong with the methods is one line."""
    with pytest.raises(SystemExit, match="method_module: there is no module 'no_such_package'"):
        main(["openapi", "--method-module=no_such_package"])
