"""Tests of the author's own settings: their sources, their types, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toto_aio import create_app
from toto_aio.settings import Settings, SettingsError, read_settings
from toto_aio.settings.command_line import Parser, add_options, parse
from toto_aio.settings.sources import override

TOML = """
port = 9000
[app]
mail-from = "a@example.org"
limit = 5
ratio = 0.5
on = false
names = ["a", "b"]
[app.smtp]
host = "mx"
"""
CONF = "port = 9000\napp = {'limit': 5, 'names': ['a'], 'smtp': {'host': 'mx'}}\n"


def write(folder: Path, text: str, name: str = "toto.toml") -> Path:
    """A file with options."""
    (folder / name).write_text(text)
    return folder / name


def given(*arguments: str) -> dict[str, str]:
    """The options on a command line."""
    parser = Parser()
    add_options(parser)
    return parse(parser, arguments)


def test_a_file(tmp_path: Path) -> None:
    """TOML has them under ``[app]``, and a file of Toto's format as a dict."""
    app = read_settings({}, write(tmp_path, TOML)).app
    assert (app["mail-from"], app["limit"], app["names"], app["smtp"]["host"]) == (
        "a@example.org",
        5,
        ("a", "b"),
        "mx",
    )
    assert read_settings({}, write(tmp_path, CONF, "toto.conf")).app["smtp"]["host"] == "mx"


def test_each_source_overrides_the_last_by_name(tmp_path: Path) -> None:
    """Keyword arguments, the file, the environment, the command line: what one does not name stays."""
    environ = {
        "TOTO_AIO_APP_LIMIT": "7",
        "TOTO_AIO_APP_RATIO": "0.75",
        "TOTO_AIO_APP_MAIL_FROM": "c@example.org",
    }
    arguments = given("--app.ratio=1", "--app.on=true", "--app.names=x, y", "--app.new=8", "--port=1")
    app = read_settings({"app": {"limit": 1, "kept": "k"}}, write(tmp_path, TOML), environ, arguments).app
    assert dict(app) == {
        "limit": 7,
        "kept": "k",
        "ratio": 1.0,
        "on": True,
        "names": ("x", "y"),
        "new": "8",
        "mail-from": "c@example.org",
        "smtp": {"host": "mx"},
    }
    assert type(app["ratio"]) is float


def test_settings_over_settings() -> None:
    """Those of ``create_app`` override those of ``Settings`` name by name; other options stay."""
    base = Settings(app={"a": 1, "b": [2]}, port=9)
    settings = override(base, {"app": {"a": 3}})
    assert (dict(settings.app), settings.port) == ({"a": 3, "b": (2,)}, 9)
    assert override(settings, {}) == settings
    assert dict(override(None, {"app": {"a": 3}}).app) == {"a": 3}


def test_no_settings() -> None:
    """The default is empty and can't be changed either."""
    for settings in (Settings(), read_settings({})):
        assert len(settings.app) == 0
        with pytest.raises(TypeError):
            settings.app["a"] = 1


@pytest.mark.parametrize("app", [None, 5, "a=1", ["a"], {1: "x"}, {("a",): 1}])
def test_what_is_no_settings(app: Any) -> None:
    """Only names and values are."""
    with pytest.raises(SettingsError, match="app: write names and values"):
        create_app(app=app, database="memory://", method_module={"echo": print})


@pytest.mark.parametrize(
    ("environ", "arguments", "expected"),
    [
        ({"TOTO_AIO_APP_LIMIT": "many"}, (), "TOTO_AIO_APP_LIMIT: expected int, not 'many'"),
        ({"TOTO_AIO_APP_ON": "perhaps"}, (), "TOTO_AIO_APP_ON: expected bool, not 'perhaps'"),
        ({}, ("--app.ratio=x",), "--app.ratio: expected float, not 'x'"),
        ({}, ("--app.smtp=x",), "--app.smtp: it is a table: write it in the file"),
        ({"TOTO_AIO_APP": "x"}, (), "TOTO_AIO_APP: write names and values"),
        ({"TOTO_AIO_APP_": "x"}, (), "TOTO_AIO_APP_: write a name behind it"),
    ],
)
def test_text_that_does_not_fit(
    tmp_path: Path, environ: dict[str, str], arguments: tuple[str, ...], expected: str
) -> None:
    """It stops the start with a line that names its place."""
    with pytest.raises(SettingsError) as caught:
        read_settings({}, write(tmp_path, TOML), environ, given(*arguments))
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize("argument", ["--app", "--app=x", "--app.", "--app.=x", "--app.limit"])
def test_a_command_line_without_a_name_or_value(argument: str) -> None:
    """It says what to write."""
    with pytest.raises(SettingsError, match=r"write --app\.NAME=value"):
        given(argument)


def test_an_unknown_option_in_a_file(tmp_path: Path) -> None:
    """A file of Toto's may have had options of its author's own: the error says where they go now."""
    for name in ("toto.conf", "toto.toml"):
        with pytest.raises(
            SettingsError, match=r"a_limit_of_mine: no such option; .*app=\{\.\.\.\}.*\[app\]"
        ):
            read_settings({}, write(tmp_path, "a_limit_of_mine = 5\n", name))
