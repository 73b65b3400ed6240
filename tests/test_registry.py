"""Which methods a package has, and the record of each."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import toto_aio.methods
from tests.support.packages import Package
from tests.support.service import Serve, shown
from toto_aio.dispatch.method import Method, compile_method
from toto_aio.invocation import (
    anonymous_session,
    asynchronous,
    authenticated,
    authenticated_with_parameter,
    jsonp,
    optionally_authenticated,
    requires,
    safe,
    timeout,
)
from toto_aio.registry import find_methods
from toto_aio.settings import SettingsError

INVOKE = "async def invoke(handler, parameters):\n    return __name__\n"


def names(package: Any) -> list[str]:
    """The names of the methods of a package."""
    return list(find_methods(package, 60))


async def plain(handler: Any, parameters: dict[str, Any]) -> str:
    """Say so."""
    return "plain"


def compiled(invoke: Any) -> Method:
    """The method of a function."""
    return compile_method("name", invoke, 60)


def test_modules_and_packages(package: Package) -> None:
    """Each module with ``invoke`` is a method, at any depth, even if every ``__init__.py`` is empty."""
    root = package(
        {
            "hello.py": INVOKE,
            "a/__init__.py": "",
            "a/b/__init__.py": "",
            "a/b/c.py": INVOKE,
            "a/b/d.py": INVOKE,
            "empty/__init__.py": "",
        }
    )
    methods = find_methods(root, 60)
    assert sorted(methods) == ["a.b.c", "a.b.d", "hello"]
    assert all(method.name == name for name, method in methods.items())
    assert methods["a.b.c"].invoke.__module__ == f"{root}.a.b.c"


def test_folders_without_an_init(package: Package) -> None:
    """They are packages too, at any depth; folders without Python files are not, nor are private ones."""
    files = {"notes/add.py": INVOKE, "a/b/c.py": INVOKE, "_private/x.py": INVOKE, "pages/index.html": ""}
    assert names(package(files)) == ["a.b.c", "notes.add"]


def test_a_package_can_be_a_method(package: Package) -> None:
    """``invoke`` in an ``__init__.py`` is the method of the package's name, next to those below it."""
    assert sorted(names(package({"a/__init__.py": INVOKE, "a/b.py": INVOKE}))) == ["a", "a.b"]


def test_the_root_is_no_method(package: Package) -> None:
    """``invoke`` in the root's own ``__init__.py`` has no name to be called by."""
    assert names(package({"__init__.py": INVOKE, "a.py": INVOKE})) == ["a"]


def test_modules_without_invoke_are_no_methods(package: Package) -> None:
    """A helper can be imported by methods and cannot be called."""
    root = package(
        {
            "helpers.py": "def greet():\n    return 'hello'\nINVOKE = 1\nclass Invoke: pass\n",
            "hello.py": f"from .helpers import greet\n{INVOKE}",
        }
    )
    assert names(root) == ["hello"]


@pytest.mark.parametrize(
    "name", ["_private.py", "__main__.py", "_private/__init__.py", "a/_private.py", "a/__main__.py"]
)
def test_private_modules_are_not_imported(package: Package, name: str) -> None:
    """A module whose name begins with an underscore is ignored."""
    root = package({"a/__init__.py": "", "hello.py": INVOKE, name: "raise AssertionError('imported')"})
    assert names(root) == ["hello"]


def test_private_modules_can_be_imported_by_methods(package: Package) -> None:
    """A private module that a method imports is not a method, even if it has ``invoke``."""
    root = package({"_base.py": INVOKE, "hello.py": f"from . import _base\n{INVOKE}"})
    assert names(root) == ["hello"]


def test_modules_that_a_package_imports(package: Package, caplog: pytest.LogCaptureFixture) -> None:
    """They are methods under the names that they have there, beside their own; the start logs them."""
    root = package(
        {
            "__init__.py": "from . import _notes as notes, hello as greet\nfrom .deep import under as flat\n",
            "_notes.py": INVOKE,
            "hello.py": INVOKE,
            "helper.py": "",
            "deep/__init__.py": "from .. import hello, helper\n",
            "deep/under/say.py": INVOKE,
        }
    )
    with caplog.at_level(logging.INFO):
        methods = find_methods(root, 60)
    assert {name: method.source for name, method in methods.items()} == {
        "deep.hello": f"{root}.hello",
        "deep.under.say": f"{root}.deep.under.say",
        "flat.say": f"{root}.deep.under.say",
        "greet": f"{root}.hello",
        "hello": f"{root}.hello",
        "notes": f"{root}._notes",
    }
    logged = f"flat ({root}.deep.under), greet ({root}.hello), notes ({root}._notes)"
    assert f"methods that are imported: deep.hello ({root}.hello), {logged}" in caplog.text


def test_packages_that_import_each_other(package: Package) -> None:
    """The names end where a package would contain itself."""
    root = package(
        {
            "__init__.py": "",
            "a/__init__.py": "import package_of_a_test as root\nimport package_of_a_test.b as other\n",
            "a/hello.py": INVOKE,
            "b/__init__.py": "import package_of_a_test.a as other, package_of_a_test.b as itself\n",
        }
    )
    assert sorted(names(root)) == ["a.hello", "b.other.hello"]


def test_modules_of_other_packages(
    package: Package, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A library's modules are methods only if ``__all__`` names them; what it names has to be there."""
    library = tmp_path / "library_of_a_test"
    (library / "shared").mkdir(parents=True)
    for file in ("wanted.py", "unwanted.py", "shared/one.py", "shared/__init__.py", "__init__.py"):
        (library / file).write_text("" if "init" in file else INVOKE)
    imports = "from library_of_a_test import shared, unwanted, wanted\nimport json\n"
    named = "__all__ = ['wanted', 'shared', 'json', 'missing', 'hello']\n"
    try:
        root = package({"__init__.py": imports, "hello.py": INVOKE, "all/__init__.py": imports + named})
        assert sorted(names(root)) == ["all.shared.one", "all.wanted", "hello"]
    finally:
        for module in [name for name in sys.modules if name.startswith("library_of_a_test")]:
            del sys.modules[module]
    assert "__all__ names 'missing', which is not there" in caplog.text


def test_what_comes_with_a_package_of_toto_aio(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ``__all__``; its other methods are served where they are imported by name."""
    monkeypatch.setattr("toto_aio.methods.account.__all__", ["login", "logout"])
    by_name = "from toto_aio.methods.account import create, login\n"
    root = package(
        {"a/__init__.py": "from toto_aio.methods import account\n", "b/account/__init__.py": by_name}
    )
    assert sorted(names(root)) == [
        "a.account.login",
        "a.account.logout",
        "b.account.create",
        "b.account.login",
    ]


@pytest.mark.parametrize("name", ["Invoke", "invok", "envoke", "INVOKE", "invoice", "call", "_invok"])
def test_a_misspelt_invoke(package: Package, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """A module whose function seems to be a misspelt ``invoke`` is named."""
    root = package({"hello.py": INVOKE, "wrong.py": INVOKE.replace("invoke", name)})
    assert names(root) == ["hello"]
    is_near = name not in ("invoice", "call", "_invok")
    assert (f"{root}.wrong is not a method: write invoke for {name}" in caplog.text) == is_near


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ("handler, parameters, more", "parameters: rename it"),
        ("*, handler, parameters", "handler: write it first"),
    ],
)
def test_parameters_of_no_form(package: Package, parameters: str, what: str) -> None:
    """The start ends with the method's name, and what to write."""
    root = package({"a/hello.py": f"async def invoke({parameters}): ..."})
    with pytest.raises(SettingsError, match=rf"a\.hello: {what}"):
        names(root)


@pytest.mark.parametrize(
    "parameters", ["h, p=None", "*args", "handler, parameters, more=1", "*args, **kwargs"]
)
def test_parameters_of_other_forms(package: Package, parameters: str) -> None:
    """Whatever takes the two is a method."""
    assert names(package({"hello.py": f"async def invoke({parameters}): ..."})) == ["hello"]


@pytest.mark.parametrize("decorator", ["requires", "default_parameters"])
def test_a_decorator_without_its_arguments(package: Package, decorator: str) -> None:
    """It would take the function for one, and the module would have another ``invoke``."""
    head = f"from toto_aio.invocation import *\n@{decorator}\n"
    with pytest.raises(TypeError, match=rf"write @{decorator}\(.*\) for @{decorator}") as caught:
        names(package({"hello.py": head + INVOKE}))
    assert "package_of_a_test.hello" in caught.value.__notes__[0]


def test_other_modules_in_scope_are_no_methods(package: Package) -> None:
    """Names that a package imports from elsewhere do not become callable, whatever they contain."""
    root = package(
        {
            "__init__.py": "import os, json\nfrom email import message\nfrom toto_aio import invocation\n",
            "hello.py": f"import toto_aio.methods.account.create as create\n{INVOKE}",
            "elsewhere/__init__.py": "from .. import hello as _again\n",
        }
    )
    assert names(root) == ["hello"]


def test_built_in_methods_imported_as_in_toto(package: Package) -> None:
    """``import toto_aio.methods.account.create as create`` in ``account`` defines ``account.create``."""
    root = package(
        {
            "account/__init__.py": "import toto_aio.methods.account.create as create\n"
            "import toto_aio.methods.account.login as sign_in\n",
            "account/own.py": INVOKE,
        }
    )
    methods = find_methods(root, 60)
    assert sorted(methods) == ["account.create", "account.own", "account.sign_in"]
    assert methods["account.create"].invoke is find_methods(toto_aio.methods, 60)["account.create"].invoke
    assert methods["account.create"].rules.required == ("user_id", "password")


@pytest.mark.parametrize(
    "line", ["from toto_aio.methods import account", "import toto_aio.methods.account as account"]
)
def test_a_built_in_package_imported_at_the_root(package: Package, line: str) -> None:
    """One line at the root defines all methods of ``account``."""
    assert names(package({"__init__.py": line})) == [
        "account.create",
        "account.login",
        "account.logout",
        "account.revoke",
        "account.revoke_all",
        "account.sessions",
        "account.update",
    ]


def test_built_in_methods_imported_with_a_star(package: Package) -> None:
    """``from toto_aio.methods.account import *`` defines them all too."""
    root = package(
        {"account/__init__.py": "from toto_aio.methods.account import *", "account/own.py": INVOKE}
    )
    assert sorted(names(root)) == [
        "account.create",
        "account.login",
        "account.logout",
        "account.own",
        "account.revoke",
        "account.revoke_all",
        "account.sessions",
        "account.update",
    ]


def test_built_in_methods_under_a_private_name(package: Package) -> None:
    """A built-in method that is imported under a private name is not a method of the package."""
    root = package(
        {"__init__.py": "from toto_aio.methods.account import login as _login", "hello.py": INVOKE}
    )
    assert names(root) == ["hello"]


def test_a_method_of_ones_own_comes_before_a_built_in_one(package: Package) -> None:
    """A module of the package is not hidden by a built-in method of the same name."""
    root = package(
        {
            "account/__init__.py": "from toto_aio.methods.account import create, login",
            "account/create.py": INVOKE,
        }
    )
    methods = find_methods(root, 60)
    assert sorted(methods) == ["account.create", "account.login"]
    assert methods["account.create"].invoke.__module__ == f"{root}.account.create"


def test_the_built_in_methods() -> None:
    """These are built in, and all are documented."""
    methods = find_methods(toto_aio.methods, 60)
    assert sorted(methods) == [
        "account.create",
        "account.login",
        "account.logout",
        "account.revoke",
        "account.revoke_all",
        "account.sessions",
        "account.update",
        "client_error",
        "events.ticket",
    ]
    assert all(method.documentation for method in methods.values())


@pytest.mark.parametrize(
    ("file", "module"), [("broken.py", "broken"), ("a/broken.py", "a.broken"), ("a/__init__.py", "a")]
)
@pytest.mark.parametrize("text", ["import no_such_module", "1 / 0", "raise KeyboardInterrupt", "def"])
def test_a_module_that_cannot_be_imported(package: Package, file: str, module: str, text: str) -> None:
    """The exception of its import propagates unchanged, with a note that names the module."""
    root = package({"a/__init__.py": "", "hello.py": INVOKE, file: text})
    with pytest.raises((ImportError, ZeroDivisionError, KeyboardInterrupt, SyntaxError)) as caught:
        find_methods(root, 60)
    assert f"{root}.{module}" in " ".join(caught.value.__notes__).replace("'", " ").split()
    assert caught.value.__cause__ is None


def test_a_root_that_cannot_be_imported(package: Package) -> None:
    """The exception of the root's own import propagates too."""
    root = package({"__init__.py": "import no_such_module"})
    with pytest.raises(ModuleNotFoundError, match="no_such_module") as caught:
        find_methods(root, 60)
    assert root in " ".join(caught.value.__notes__)


@pytest.mark.parametrize(
    "name", ["no_such_module", "no_such_module.methods", "json.methods", "", ".", ".a", "a..b", "a/b"]
)
def test_a_package_that_is_not_there(name: str) -> None:
    """A wrong name is reported in one line that names the option."""
    with pytest.raises(SettingsError) as caught:
        find_methods(name, 60)
    assert str(caught.value).startswith("method_module: ")
    assert "\n" not in str(caught.value)


def test_without_a_package_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a package of the default name the built-in methods are served; the log says what to write."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(Path.cwd()))])
    monkeypatch.delitem(sys.modules, "methods", raising=False)
    with caplog.at_level(logging.WARNING):
        assert "account.create" in names("methods")
    assert "methods/hello.py" in caplog.text


@pytest.mark.parametrize("value", [None, 5, ["a"], object()], ids=shown)
def test_what_is_no_package(value: Any) -> None:
    """Anything except a package, its name or a mapping is a wrong value."""
    with pytest.raises(SettingsError, match=r"^method_module: "):
        find_methods(value, 60)


def test_a_package_without_methods(package: Package) -> None:
    """A package without callable methods is reported as a mistake."""
    with pytest.raises(SettingsError, match=r"^method_module: .*invoke"):
        find_methods(package({"helpers.py": ""}), 60)
    with pytest.raises(SettingsError, match=r"^method_module: "):
        find_methods({}, 60)


def test_a_module_in_place_of_a_name(package: Package) -> None:
    """An imported package can be passed instead of its name."""
    root = package({"hello.py": INVOKE})
    assert names(__import__(root)) == ["hello"]


def test_a_mapping_in_place_of_a_package(package: Package) -> None:
    """A mapping gives each name its function, its module, or another callable."""

    class Methods:
        """Methods that share something."""

        async def bound(self, handler: Any, parameters: dict[str, Any]) -> None:
            """A bound method."""

        async def __call__(self, handler: Any, parameters: dict[str, Any]) -> None:
            """The object itself."""

    __import__(package({"hello.py": INVOKE}) + ".hello")
    methods = find_methods(
        {
            "plain": plain,
            "a.b": sys.modules["package_of_a_test.hello"],
            "bound": Methods().bound,
            "object": Methods(),
            "partial": functools.partial(plain),
        },
        60,
    )
    assert list(methods) == ["plain", "a.b", "bound", "object", "partial"]
    assert methods["plain"].invoke is plain
    assert methods["a.b"].invoke.__module__ == "package_of_a_test.hello"
    assert methods["bound"].documentation == "A bound method."


async def test_names_that_are_no_methods(serve: Serve, package: Package) -> None:
    """Packages, helpers, private modules, attributes and modules elsewhere cannot be called."""
    root = package(
        {
            "__init__.py": "import os",
            "a/__init__.py": "from toto_aio.methods.account import login",
            "a/hello.py": f"import os\n{INVOKE}",
            "helpers.py": "def helper(handler, parameters): return 'helped'",
            "_private.py": INVOKE,
        }
    )
    service = await serve(method_module=root)
    assert await service.result("a.hello") == f"{root}.a.hello"
    assert (await service.call("a.login"))["error"]["code"] == 1003
    for name in (
        *(
            "a",
            "os",
            "os.system",
            "helpers",
            "helpers.helper",
            "_private",
            "__init__",
            "a.__init__",
            "invoke",
        ),
        *(
            "a.hello.invoke",
            "a.hello.os",
            "a.hello.",
            ".a.hello",
            "a..hello",
            "a/hello",
            "A.Hello",
            "a.hello\0",
        ),
        *(f"{root}.a.hello", "toto_aio.methods.account.create", "account.create", "builtins", "__import__"),
        *("a.hello.invoke.__globals__", " a.hello", "a.hello ", "../a/hello"),
    ):
        assert await service.call(name) == {"error": {"code": 1001, "value": f"Cannot call '{name}'."}}
    for value in (5, ["a.hello"], {"a": "hello"}, True):
        response = await service.post(json={"method": value, "parameters": {}})
        assert (await response.json())["error"]["code"] == 1001


def test_plain_functions_run_in_threads() -> None:
    """A plain ``def`` runs in a thread, a coroutine function on the loop."""

    def blocking(handler: Any, parameters: dict[str, Any]) -> None: ...

    assert compiled(blocking).threaded
    assert not compiled(plain).threaded
    assert not compiled(functools.partial(plain)).threaded


def test_wrapped_functions_keep_their_rules() -> None:
    """A wrapper made with ``functools.wraps`` has the rules and the documentation of the wrapped function."""

    @authenticated
    @requires("title")
    async def invoke(handler: Any, parameters: dict[str, Any]) -> None:
        """Write."""

    @functools.wraps(invoke)
    async def wrapper(handler: Any, parameters: dict[str, Any]) -> Any:
        return await invoke(handler, parameters)

    @safe
    @functools.wraps(invoke)
    def plain_wrapper(handler: Any, parameters: dict[str, Any]) -> Any:
        return invoke(handler, parameters)

    for function in (wrapper, plain_wrapper):
        method = compiled(function)
        assert method.invoke is function
        assert method.rules.required == ("title",)
        assert method.rules.guard == compiled(invoke).rules.guard != 0
        assert not method.threaded
        assert method.documentation.startswith("Write.")
    assert compiled(plain_wrapper).rules.safe


async def test_wrapped_functions_are_called(serve: Serve) -> None:
    """The wrapper runs, on the loop even if it is a plain function around a coroutine."""
    seen = []

    def logged(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(handler: Any, parameters: dict[str, Any]) -> Any:
            seen.append(parameters)
            return function(handler, parameters)

        return wrapper

    service = await serve({"plain": logged(plain), "checked": requires("a")(logged(plain))})
    assert await service.result("plain", {"a": 1}) == "plain"
    assert await service.result("checked", {"a": 2}) == "plain"
    assert (await service.call("checked"))["error"]["value"] == "Missing parameters: a"
    assert seen == [{"a": 1}, {"a": 2}]


def test_generators_are_refused() -> None:
    """``yield`` in ``invoke`` is reported as a mistake at start-up."""

    async def streaming(handler: Any, parameters: dict[str, Any]) -> AsyncIterator[int]:
        yield 1

    def generator(handler: Any, parameters: dict[str, Any]) -> Iterator[int]:
        yield 1

    for function in (streaming, generator, authenticated(streaming)):
        with pytest.raises(SettingsError, match=r"^name: .*yield"):
            compiled(function)


@pytest.mark.parametrize("value", [None, 5, "text", [plain]], ids=shown)
def test_what_cannot_be_called_is_refused(package: Package, value: Any) -> None:
    """An ``invoke`` that is not a function is named at start-up."""
    with pytest.raises(SettingsError, match=r"^hello: write 'async def invoke\(handler, title: str\)'"):
        find_methods({"hello": value}, 60)
    with pytest.raises(SettingsError, match=r"^a\.hello: write"):
        find_methods(package({"a/__init__.py": "", "a/hello.py": "invoke = 5"}), 60)


@pytest.mark.parametrize(
    "guard", [optionally_authenticated, anonymous_session, authenticated, authenticated_with_parameter]
)
def test_jsonp_with_a_session_is_refused(guard: Callable[[Any], Any]) -> None:
    """A script that any page can load must not respond as its visitor: start-up refuses it, in any order."""

    async def invoke(handler: Any, parameters: dict[str, Any]) -> None: ...

    with pytest.raises(SettingsError, match=r"^name: @jsonp"):
        compiled(jsonp(guard(invoke)))

    async def another(handler: Any, parameters: dict[str, Any]) -> None: ...

    with pytest.raises(SettingsError, match=r"^name: @jsonp"):
        compiled(guard(jsonp("callback")(another)))


def test_time_limits() -> None:
    """A method has the time limit of the setting, an asynchronous one ten minutes, unless it sets its own."""

    async def quick(handler: Any, parameters: dict[str, Any]) -> None: ...

    async def later(handler: Any, parameters: dict[str, Any]) -> None: ...

    assert compile_method("name", plain, 7).timeout == 7
    assert compile_method("name", asynchronous(later), 7).timeout == 600
    assert compile_method("name", timeout(3)(quick), 7).timeout == 3
    assert compile_method("name", timeout(5)(later), 7).timeout == 5


def test_documentation() -> None:
    """A method's documentation is its function's, or its module's, with the lines of its decorators."""

    @authenticated
    @requires("title")
    async def invoke(handler: Any, parameters: dict[str, Any]) -> None:
        """Write a note.

        It is kept for a day:
            then it is gone.
        """

    assert compiled(invoke).documentation == (
        "Write a note.\n\nIt is kept for a day:\n    then it is gone."
        "\n\n*Required parameters:* ``title``.\n\n*Requires authentication.*"
    )
    update = find_methods(toto_aio.methods, 60)["account.update"]
    assert not any(line.startswith(" ") for line in update.documentation.splitlines())
    assert inspect.cleandoc(update.documentation) == update.documentation


def test_documentation_of_the_module(package: Package) -> None:
    """If ``invoke`` has no docstring, its module's is used."""
    methods = find_methods(package({"hello.py": f'"""Greet."""\n{INVOKE}', "bare.py": INVOKE}), 60)
    assert methods["hello"].documentation == "Greet."
    assert methods["bare"].documentation == ""


def test_which_methods_get_reaches() -> None:
    """GET reaches safe methods; with ``all`` it reaches all except the built-in account methods."""

    @safe
    async def reading(handler: Any, parameters: dict[str, Any]) -> None: ...

    @jsonp
    async def script(handler: Any, parameters: dict[str, Any]) -> None: ...

    async def writing(handler: Any, parameters: dict[str, Any]) -> None: ...

    built_in = find_methods(toto_aio.methods, 60)
    for method, by_safe, by_all in (
        (compiled(reading), True, True),
        (compiled(script), True, True),
        (compiled(writing), False, True),
        (built_in["client_error"], False, True),
        (built_in["account.create"], False, False),
        (built_in["account.logout"], False, False),
    ):
        assert method.reachable_by_get("safe") is by_safe
        assert method.reachable_by_get("all") is by_all


def test_built_in_account_methods_are_never_reached_by_get(package: Package) -> None:
    """Not even under another name."""
    root = package({"a/__init__.py": "import toto_aio.methods.account.create as register"})
    assert not find_methods(root, 60)["a.register"].reachable_by_get("all")


async def test_requests_import_nothing(serve: Serve, package: Package) -> None:
    """A call of an unknown name never reaches the import system, whatever the name looks like."""
    root = package({"hello.py": INVOKE, "_later.py": "raise AssertionError('imported')"})
    service = await serve(method_module=root)
    before = set(sys.modules)
    for name in ("_later", "antigravity", "this", "hello._later", f"{root}._later"):
        assert (await service.call(name))["error"]["code"] == 1001
        path = name.replace(".", "/")
        response = await service.post(f"/{path}", json={})
        assert (await response.json())["error"]["code"] == 1001
    assert not (set(sys.modules) - before) & {"antigravity", "this", f"{root}._later"}


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("import hello", "it is in the same package: write 'from . import hello'"),
        ("import toto.methods.account", "write toto_aio for toto"),
        ("from toto.invocation import *", "write toto_aio for toto"),
    ],
)
def test_imports_of_toto(package: Package, line: str, hint: str) -> None:
    """A package that imports as Toto's do says what to write."""
    root = package({"hello.py": INVOKE, "__init__.py": f"{line}\n"})
    with pytest.raises(ModuleNotFoundError) as caught:
        find_methods(root, 60)
    assert caught.value.__notes__[0] == hint
