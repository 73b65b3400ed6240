"""``@method``: further functions of a module that are methods."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import toto_aio
from tests.support.packages import Package
from toto_aio import testing
from toto_aio.invocation import authenticated, method, safe
from toto_aio.registry import find_methods
from toto_aio.settings import SettingsError

NOTES = """
import functools
from toto_aio import method
from toto_aio.invocation import authenticated, safe

def mine(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        return await function(*args, **kwargs)
    return wrapper

@method
async def add(title: str) -> str:
    "Add a note."
    return title

@safe
@mine
@method
@authenticated
async def list_(handler, limit: int = 10) -> int:
    return limit

@method
def classic(handler, parameters):
    return parameters

async def helper(title: str): ...

def on_connection_close(handler): ...
"""


def test_functions_of_a_module(package: Package, caplog: pytest.LogCaptureFixture) -> None:
    """They are methods below its name, with every decorator, beside ``invoke`` and below packages too."""
    root = package(
        {
            "__init__.py": "from toto_aio import method\n@method\nasync def ping(): ...",
            "notes.py": NOTES,
            "deep/__init__.py": NOTES,
            "deep/both.py": NOTES + "\nasync def invoke(handler, parameters): ...",
            "imports.py": "from .notes import add, list_\nfrom . import notes\nasync def invok(): ...",
        }
    )
    methods = find_methods(root, 60)
    functions = ["add", "list", "classic"]
    assert sorted(methods) == sorted(
        [
            "ping",
            *(f"notes.{each}" for each in functions),
            *(f"deep.{each}" for each in functions),
            "deep.both",
            *(f"deep.both.{each}" for each in functions),
        ]
    )
    listed = methods["notes.list"]
    assert listed.rules.safe
    assert listed.rules.guard.name == "AUTHENTICATED"
    assert listed.signature is not None
    assert [each.name for each in listed.signature.parameters] == ["limit"]
    assert listed.source == f"{root}.notes"
    assert listed.on_connection_close is not None
    assert methods["notes.add"].documentation == "Add a note."
    assert methods["notes.classic"].signature is None
    assert methods["notes.classic"].threaded
    assert "imports is not a method: write invoke for invok" in caplog.text
    assert "notes is not a method" not in caplog.text


def test_a_module_that_is_imported(package: Package) -> None:
    """The functions of a module that a package imports are its methods under the name that it has there."""
    root = package({"__init__.py": "from . import _notes as notes", "_notes.py": NOTES})
    assert sorted(find_methods(root, 60)) == ["notes.add", "notes.classic", "notes.list"]


async def test_modules_and_mappings(package: Package) -> None:
    """``method_module`` may be one module, and a mapping may name modules and functions."""
    package({"__init__.py": NOTES})
    module = __import__("package_of_a_test")
    assert sorted(find_methods(module, 60)) == ["add", "classic", "list"]
    given = {"notes": module, "plain": module.add}
    assert sorted(find_methods(given, 60)) == ["notes.add", "notes.classic", "notes.list", "plain"]
    async with testing.serving(given) as client:
        assert await client.call("notes.add", {"title": "x"}) == "x"


@pytest.mark.parametrize("first", ["", "notes.add"])
def test_a_module_of_the_same_name(package: Package, first: str) -> None:
    """The start ends, even if the module was imported before, and has taken the name in the package."""
    root = package({"notes/__init__.py": NOTES, "notes/add.py": "async def invoke(handler, parameters): ..."})
    if first:
        __import__(f"{root}.{first}")
        assert not callable(sys.modules[f"{root}.notes"].add)
    with pytest.raises(SettingsError, match=r"notes\.add is a module, and a function marked @method"):
        find_methods(root, 60)


def test_other_clashes(package: Package) -> None:
    """Two functions, or a function and a method, of one name stop the start, and so does a hidden name."""
    marked = "from toto_aio import method\n@method\nasync def {}(): ...\n"
    root = package({"notes.py": marked.format("add") + "@method\nasync def add_(): ..."})
    with pytest.raises(SettingsError, match=r"notes\.add: .*rename it"):
        find_methods(root, 60)
    with pytest.raises(TypeError, match="@method: rename _hidden"):

        @method
        def _hidden() -> None: ...


def test_the_mark() -> None:
    """It is in the record of the function, in any order with other decorators, and is the root's name too."""

    async def add() -> None: ...

    assert toto_aio.method is method
    for function in (method(safe(authenticated(add))), safe(authenticated(method(add)))):
        rules: Any = getattr(function, "__toto_aio_rules__", None)
        assert rules.is_marked
        assert rules.safe
