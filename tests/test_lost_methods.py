"""Methods that were written are served, or the start says why they are not."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.support.packages import Package
from tests.support.service import Serve
from toto_aio.registry import find_methods
from toto_aio.settings import SettingsError

INVOKE = "async def invoke(handler, parameters):\n    return __name__\n"
BUILT_IN = ["create", "login", "logout", "revoke", "revoke_all", "sessions", "update"]
MARKED = "from toto_aio import method\n@method\nasync def {}(): ...\n"


def names(package: Any) -> list[str]:
    """The names of the methods of a package."""
    return sorted(find_methods(package, 60))


@pytest.mark.parametrize(
    "line",
    [
        "from toto_aio.methods import account",
        "import toto_aio.methods.account as account",
        "from toto_aio.methods import client_error, account as account",
        "try:\n    from toto_aio.methods import account\nfinally:\n    pass",
    ],
)
@pytest.mark.parametrize(
    "files",
    [
        {"account/whoami.py": INVOKE},
        {"account/__init__.py": "", "account/whoami.py": INVOKE},
        {"account.py": MARKED.format("whoami")},
    ],
)
def test_modules_below_the_name_of_an_imported_one(package: Package, files: Any, line: str) -> None:
    """They are added to it, however often the package is read, and whatever was imported before."""
    root = package({"__init__.py": line, **files})
    __import__(f"{root}.account")
    expected = sorted(f"account.{each}" for each in [*BUILT_IN, "whoami"])
    for _ in range(2):
        assert [each for each in names(root) if each != "client_error"] == expected


async def test_a_method_in_place_of_an_imported_one(
    package: Package, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """A module of its own wins over an imported one, as does a marked function; the log says so."""
    root = package(
        {
            "__init__.py": "from toto_aio.methods import account\nfrom . import _notes as notes",
            "account/logout.py": INVOKE,
            "notes.py": MARKED.format("add"),
            "_notes.py": MARKED.format("add") + "@method\nasync def more(): ...",
        }
    )
    with caplog.at_level(logging.INFO):
        service = await serve(method_module=root)
    assert await service.result("account.logout") == f"{root}.account.logout"
    assert (await service.call("account.login"))["error"]["code"] == 1003
    methods = find_methods(root, 60)
    assert methods["notes.add"].source == f"{root}.notes"
    assert methods["notes.more"].source == f"{root}._notes"
    assert "own in place of imported ones: account.logout, notes.add" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        "def later():\n    from toto_aio.methods import account",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from toto_aio.methods import account",
        "from toto_aio.methods import account as _account",
        "# account",
        "from . import account",
        "import account_of_nobody.account as account",
    ],
)
def test_what_does_not_import(package: Package, line: str) -> None:
    """Only what an import at the top of the package would have defined is added."""
    line = line.replace("import account_of", "if False:\n    import account_of")
    assert names(package({"__init__.py": line, "account/own.py": INVOKE})) == ["account.own"]


@pytest.mark.parametrize(
    ("files", "which"),
    [
        ({"book.py": INVOKE, "book/add.py": INVOKE}, "file"),
        ({"book.py": INVOKE, "book/__init__.py": "", "book/add.py": INVOKE}, "folder"),
        ({"book.py": INVOKE, "book/deep/add.py": INVOKE}, "file"),
    ],
)
def test_a_file_beside_a_folder_of_its_name(package: Package, files: Any, which: str) -> None:
    """Python imports only one of them: the start says which, and what to do."""
    root = package(files)
    with pytest.raises(SettingsError) as caught:
        names(root)
    said = str(caught.value).partition("book.py: ")[2]
    move = "move the file to book/__init__.py, or rename one"
    assert said == f"there is a folder book beside it, and Python imports only the {which}: {move}"


def test_a_file_that_was_moved(package: Package) -> None:
    """Both are served, and a folder without modules is in nobody's way."""
    root = package({"book/__init__.py": INVOKE, "book/add.py": INVOKE, "a.py": INVOKE, "a/page.html": ""})
    assert names(root) == ["a", "book", "book.add"]


def test_a_file_beside_the_package(package: Package, tmp_path: Any) -> None:
    """So it is with ``methods.py`` beside ``methods``."""
    root = package({"hello.py": INVOKE})
    (tmp_path / f"{root}.py").write_text(INVOKE)
    with pytest.raises(SettingsError, match=f"there is a folder {root} beside it"):
        names(root)


AUDITED = """
def audited(function):
    async def wrapper(*args, **kwargs):
        return await function(*args, **kwargs)
    return wrapper
"""


def test_a_mark_that_a_wrapper_hides(package: Package) -> None:
    """It stops the start, if the wrapper of another decorator has no mark."""
    below = "@audited\n@method\nasync def add(): ...\n"
    marked = "from toto_aio import method\n"
    advice = r"write @functools\.wraps\(function\) above the wrapper"
    root = package({"a.py": f"{marked}{AUDITED}{below}"})
    with pytest.raises(SettingsError, match=rf"a\.add is marked @method, but a wrapper has .*: {advice}"):
        names(root)


def test_a_mark_on_a_wrapper_of_another_module(package: Package) -> None:
    """The wrapper seems to be imported, so its method would vanish."""
    imports = "from toto_aio import method\nfrom ._audit import audited\n"
    above = f"{imports}@method\n@audited\nasync def add(): ...\n"
    root = package({"_audit.py": AUDITED, "a.py": above})
    with pytest.raises(SettingsError, match=rf"a\.add is marked @method, but it was made in {root}\._audit"):
        names(root)


def test_decorators_without_a_mark(package: Package, caplog: pytest.LogCaptureFixture) -> None:
    """The log warns of a function with decorators of methods that is none, unless it is used as one."""
    root = package(
        {
            "notes.py": MARKED.format("list_") + "from toto_aio.invocation import authenticated\n"
            "@authenticated\nasync def add(title: str): ...\n"
            "@authenticated\nasync def _private(title: str): ...\n"
            "async def helper(title: str): ...\n",
            "base.py": "from toto_aio.invocation import safe\n@safe\nasync def shared(): ...\n",
            "uses.py": "from .base import shared as invoke\n",
            "imports.py": "from .notes import add, list_\n",
        }
    )
    assert names(root) == ["notes.list", "uses"]
    assert f"{root}.notes.add has decorators of a method and is none: mark it @method" in caplog.text
    assert caplog.text.count("has decorators") == 1


def test_a_mapping_with_a_name_twice(package: Package) -> None:
    """What it names itself comes before a function marked ``@method`` in a module, in any order."""
    notes = __import__(
        package({"notes.py": MARKED.format("add") + "async def other():\n    'Another.'"}) + ".notes"
    ).notes
    for given in ({"notes": notes, "notes.add": notes.other}, {"notes.add": notes.other, "notes": notes}):
        methods = find_methods(given, 60)
        assert list(methods) == ["notes.add"]
        assert methods["notes.add"].source == notes.__name__
        assert methods["notes.add"].documentation == "Another."


def test_nothing_to_serve(package: Package) -> None:
    """The package is named, with its place; the ``invoke`` of the package itself has no name."""
    root = package({"helpers.py": ""})
    with pytest.raises(
        SettingsError, match=rf"method_module: no module of {root} \(/.*/__init__\.py\) defines"
    ):
        names(root)


def test_the_invoke_of_the_package(package: Package, caplog: pytest.LogCaptureFixture) -> None:
    """It has no name: the start is refused, or warns if there are other methods."""
    root = package({"__init__.py": INVOKE, "a/b.py": INVOKE})
    said = f"the invoke of {root} itself has no name: move it to {root}/hello.py"
    assert names(root) == ["a.b"]
    assert said in caplog.text
    module = __import__(f"{root}.a.b").a.b
    with pytest.raises(SettingsError, match=r"method_module: the invoke of .*a\.b itself has no name"):
        names(module)


def test_a_method_with_the_name_of_a_type(package: Package) -> None:
    """A module that cannot be imported because ``list`` is its method is told to write ``list_``."""
    notes = MARKED.format("list") + "@method\nasync def add() -> list[int]: ...\n"
    root = package({"notes.py": notes, "a/mended.py": notes.replace("def list(", "def list_(")})
    with pytest.raises(TypeError) as caught:
        names(root)
    assert "write list_, which is served as list" in caught.value.__notes__[0]
    module = __import__(f"{root}.a.mended").a
    assert names(module) == ["mended.add", "mended.list"]


def test_other_errors_of_types(package: Package) -> None:
    """They get no such hint."""
    with pytest.raises(TypeError) as caught:
        names(package({"notes.py": "async def invoke() -> len[int]: ...\n"}))
    assert caught.value.__notes__ == [f"while importing the methods of '{package({})}.notes'"]
