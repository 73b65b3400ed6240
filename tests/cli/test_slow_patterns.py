"""``toto-aio check`` names the patterns of methods that can take exponential time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.test_check import found
from tests.cli.test_forgotten_awaits import package
from toto_aio.cli.regex_ambiguity import is_exponential

SLOW = [
    *(r"(a+)+$", r"(a*)*$", r"(a|aa)+$", r"^(\w+\s?)*$", r"([a-zA-Z]+)*$", r"(x+x+)+y", r"^(a?b?)*c$"),
    *(
        r"^([\w.-]+)+@x$",
        r"(.*)*x",
        r"(?:\d+,?)+$",
        r"^(\w{1,64}\s?){1,100}$",
        r"(a{1,3})*$",
        r"(?:a+)+(?=b)",
    ),
    *(
        r"(a+){2,}$",
        r"^(?:[^,]+,?)*;",
        r"^((a|b)+c?)+$",
        r"(a+?)+?$",
        r"(.+)+\Z",
        r"(a+)+\b-",
        r"^(?:a*b*)*$",
    ),
    *(r"^(([a-z])+.)+[A-Z]([a-z])+$", r"^((ab)*|a|b)*c$", r"(?i)^(a+|Ab)+$", r"^(\d+|\w)+$"),
]
FAST = [
    *(r"a+$", r"^[a-z0-9]+(-[a-z0-9]+)*$", r"^[\w.+-]+@[\w-]+(\.[\w-]+)+$", r"^(ab|cd)*$", r"^\d{4}-\d{2}$"),
    *(r"(a+)+", r"^([a-z]+\.)*[a-z]+$", r"^(\w+\s+)*\w+$", r"^(?:\+|00)\d{1,15}$", r"^[a-z]{1,64}$"),
    *(r"^(\d{1,3}\.){3}\d{1,3}$", r"(", r"^.{1,1000}$", r"^(a{3})*$", r"^(\d{16})+$", r".*a.*b.*c$", r""),
    *(
        r"^#(?:[0-9a-f]{3}){1,2}$",
        r"^(?>a+)+$",
        r"(?:a++)+$",
        r"^\s*(?:[^\s,]+\s*,\s*)*$",
        r"^(?:\b\w+\b\W?)+$",
    ),
    *(
        r"^((a|b)c)*$",
        r"^(?:[a-z]+|\d+)$",
        r"(a)\1*$",
        r"^(a|)*$",
        r"^(?:(?:25[0-5]|1?\d?\d)(?:\.(?!$)|$)){4}$",
    ),
]


def test_expressions() -> None:
    """Those are found in which a text can be read in two ways again and again, and that can fail after it."""
    assert [each for each in SLOW if not is_exponential(each)] == []
    assert [each for each in FAST if is_exponential(each)] == []


async def test_patterns_of_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are grave, named with file and line, in models too, and nothing of the package is run."""
    note = """raise SystemExit
SLOW = r"^(\\w+" + r"\\s?)*$"
SOME = object()

class Note(Struct):
    title: Annotated[str, msgspec.Meta(max_length=80, pattern=SLOW)]

async def invoke(handler, tag: Annotated[str, Meta(pattern="(a+)+$")]): ...
async def some(handler, tag: Annotated[str, Meta(pattern="a+$")]): ...
async def more(handler, tag: Annotated[str, Meta(pattern=SOME), Field(pattern="(a+)+$")]): ...
"""
    name = package(tmp_path, monkeypatch, note=note)
    (finding,) = await found(method_module=name)
    path = tmp_path / name / "note.py"
    assert finding.rule.gravity == "grave"
    assert set(str(finding.detail).split(", ")) == {
        f"{path}:6: '^(\\\\w+\\\\s?)*$'",
        f"{path}:8: '(a+)+$'",
    }
    assert name not in sys.modules
