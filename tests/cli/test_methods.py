"""Tests of ``toto-aio methods``: the methods of a service, as their author wrote them."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from tests.cli.test_main import run
from tests.support.programs import failing, write
from toto_aio.cli.main import main
from toto_aio.cli.methods import list_methods
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    authenticated_with_parameter,
    channel,
    default_parameters,
    fresh,
    jsonp,
    method,
    optionally_authenticated,
    rate,
    requires,
    roles,
    safe,
)
from toto_aio.settings import Settings, SettingsError, read_settings

NOTES = '''
"""Notes."""
from toto_aio.invocation import authenticated, default_parameters, requires


@authenticated
@requires("text", "color")
@default_parameters({"color": "red"})
async def invoke(handler, parameters):
    """Add a note of the ``user``.

    It is kept in the session.
    """
'''


def listed(methods: dict[str, Any], **options: Any) -> list[list[str]]:
    """The cells of the table, without its heading."""
    lines = list_methods(read_settings({"method_module": methods, **options})).splitlines()
    heading = lines[0]
    columns = ("METHOD", "CALLER", "BY", "PARAMETERS", "FROM", "WHAT IT DOES")
    starts = [heading.index(name) for name in columns]
    ends = [*starts[1:], None]
    return [[line[start:end].strip() for start, end in zip(starts, ends, strict=True)] for line in lines[1:]]


def test_the_command(tmp_path: Path) -> None:
    """The methods of the package in this folder, sorted by name and aligned."""
    write(
        tmp_path,
        methods__notes__add=NOTES,
        methods__hello='async def invoke(handler, parameters):\n    """Greet."""',
    )
    (tmp_path / "methods" / "__init__.py").write_text("from toto_aio.methods import client_error")
    done = run("-m", "toto_aio", "methods", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "METHOD        CALLER                                 BY    PARAMETERS                 "
        "FROM                           WHAT IT DOES",
        "client_error  anyone; 100 calls in 900 s by address  POST  client_error, client_type  "
        "toto_aio.methods.client_error  Log client_error if client_type is browser_js; returns whether it "
        "was logged.",
        "hello         anyone                                 POST                             "
        "methods.hello                  Greet.",
        "notes.add     logged in                              POST  text, color='red'          "
        "methods.notes.add              Add a note of the user.",
    ]


def test_the_options(tmp_path: Path) -> None:
    """The settings name the package, and ``--json`` has everything that is known."""
    write(tmp_path, notes__add=NOTES)
    (tmp_path / "toto.toml").write_text('method_module = "notes"\nget_methods = "all"\nmethod_timeout = 5')
    done = run("-m", "toto_aio", "methods", "toto.toml", "--json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (method,) = json.loads(done.stdout)
    assert method.pop("documentation").startswith(
        "Add a note of the ``user``.\n\nIt is kept in the session.\n\n*"
    )
    assert method == {
        "method": "add",
        "caller": "authenticated",
        "roles": [],
        "fresh": None,
        "rates": [],
        "get": True,
        "call": True,
        "channel": None,
        "required": ["text", "color"],
        "defaults": {"color": "red"},
        "idempotent": False,
        "timeout": 5.0,
        "deprecated": None,
        "from": "notes.add",
    }


async def test_a_broken_module(tmp_path: Path) -> None:
    """Its traceback is shown, as by ``serve``."""
    write(tmp_path, methods__broken="import nothing_of_this_name")
    said = await failing(tmp_path, "-m", "toto_aio", "methods")
    assert "ModuleNotFoundError: No module named 'nothing_of_this_name'" in said
    assert "while importing the methods of 'methods.broken'" in said
    assert 'methods/broken.py", line 1' in said


@pytest.mark.parametrize(
    ("command", "first"),
    [
        ("methods", "{}, line 1: SyntaxError: expected ':'\n    async"),
        ("check", "method_module: {}:1: expected ':'"),
    ],
)
def test_a_syntax_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, first: str) -> None:
    """Its file and line come first, as under ``serve``."""
    package = f"{command}_with_a_syntax_error"
    write(tmp_path, **{f"{package}__broken": "async def invoke(handler) return 1"})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([command, f"--method-module={package}"])
    assert str(caught.value).startswith(f"toto-aio: {first.format(tmp_path / package / 'broken.py')}")


async def test_no_such_package(tmp_path: Path) -> None:
    """It is one line, as with ``serve``."""
    said = await failing(tmp_path, "-m", "toto_aio", "methods", "--method-module=nothing_here")
    assert said == "toto-aio: method_module: there is no module 'nothing_here' on the import path\n"


async def invoke(handler: Any, parameters: Any) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("decorate", "caller"),
    [
        (optionally_authenticated, "anyone, with their session"),
        (anonymous_session, "anyone, in a session"),
        (authenticated, "logged in"),
        (authenticated_with_parameter, "logged in by session_id"),
        (roles("admin"), "logged in as admin"),
        (lambda invoke: authenticated(roles("editor", "admin")(invoke)), "logged in as admin or editor"),
        (safe, "anyone"),
        (fresh(300), "logged in, within 300 s"),
        (
            lambda invoke: rate(1, "1d", "address")(rate(10, per=60)(invoke)),
            "anyone, with their session; 10 calls in 60 s by user; 1 call in 86400 s by address",
        ),
    ],
)
def test_who_may_call(decorate: Any, caller: str) -> None:
    """Each guard in words."""

    async def invoke(handler: Any, parameters: Any) -> None: ...

    assert listed({"method": decorate(invoke)})[0][:2] == ["method", caller]


def test_the_rates_of_all_methods() -> None:
    """They are shown with those of a method's own, which count first."""

    @rate(5, per=60)
    @fresh(300)
    async def own(handler: Any, parameters: Any) -> None: ...

    settings = read_settings({"method_module": {"own": own}, "rate": ["100/60/address"]})
    [described] = json.loads(list_methods(settings, as_json=True))
    assert described["fresh"] == 300
    assert described["rates"] == [
        {"times": 5, "per": 60.0, "by": "user", "of_all": False},
        {"times": 100, "per": 60.0, "by": "address", "of_all": True},
    ]
    assert "; 100 calls to all methods in 60 s by address" in list_methods(settings)


def test_what_is_not_documented() -> None:
    """The lines of decorators are not mistaken for the author's."""

    @jsonp
    @requires("b", "a")
    async def bare(handler: Any, parameters: Any) -> None: ...

    @default_parameters({"limit": 10})
    async def limited(handler: Any, parameters: Any) -> None: ...

    assert listed({"z": bare, "a": limited, "b.c": invoke}) == [
        ["a", "anyone", "POST", "limit=10", __name__, ""],
        ["b.c", "anyone", "POST", "", __name__, "Do nothing."],
        ["z", "anyone", "GET, POST", "b, a", __name__, ""],
    ]
    assert listed({"a": limited}, get_methods="all")[0][2] == "GET, POST"


def test_defaults_that_are_no_json() -> None:
    """They are shown as Python writes them."""

    @default_parameters({"when": object})
    async def invoke(handler: Any, parameters: Any) -> None: ...

    settings = read_settings({"method_module": {"method": invoke}})
    assert json.loads(list_methods(settings, as_json=True))[0]["defaults"] == {"when": "<class 'object'>"}


def test_no_methods() -> None:
    """The error is the same as at a start."""
    with pytest.raises(SettingsError, match="no module there defines invoke"):
        list_methods(read_settings({"method_module": {}}))


@pytest.mark.parametrize("command", ["methods", "check"])
async def test_an_application(tmp_path: Path, command: str) -> None:
    """It is no file with options."""
    said = await failing(tmp_path, "-m", "toto_aio", command, "website:make")
    assert said == (
        "toto-aio: website:make: this command takes no application; write the options of its service, "
        "such as --method-module=notes.methods, or a file that has them\n"
    )


def test_typed_methods() -> None:
    """Their parameters are shown with types and defaults, and in JSON with what describes them."""

    def add(
        title: Annotated[str, Meta(description="What it is about", min_length=1)],
        due: datetime.date | None = None,
        tags: list[str] = [],  # noqa: B006
        kind: Literal["a", "b"] = "a",
        sizes: tuple[int, ...] = (),
    ) -> dict[str, int]:
        """Add a note."""
        return {}

    settings = Settings(method_module={"add": add})
    shown = "title: str, due: date | None=None, tags: list[str]=[], kind: Literal['a', 'b']='a', sizes: tuple[int, ...]=()"  # noqa: E501
    assert shown in list_methods(settings)
    (method,) = json.loads(list_methods(settings, as_json=True))
    assert method["returns"] == "dict[str, int]"
    assert method["parameters"][:3] == [
        {"name": "title", "type": "str", "required": True, "description": "What it is about"},
        {"name": "due", "type": "date | None", "required": False, "default": None},
        {"name": "tags", "type": "list[str]", "required": False, "default": []},
    ]


def test_channels() -> None:
    """What admits to channels is listed with their pattern, and is no method unless it is marked as one."""

    @channel("room:{room}")
    @authenticated
    async def join(handler: Any, room: str) -> None:
        """Enter."""

    @method
    @channel("news")
    async def news(handler: Any) -> None: ...

    methods = {"rooms.join": join, "news": news}
    assert listed(methods) == [
        ["news", "anyone", "POST, channel news", "", __name__, ""],
        ["rooms.join", "logged in", "channel room:{room}", "room: str", __name__, "Enter."],
    ]
    described = json.loads(list_methods(read_settings({"method_module": methods}), as_json=True))
    assert [(each["channel"], each["call"], each["get"]) for each in described] == [
        ("news", True, False),
        ("room:{room}", False, False),
    ]
