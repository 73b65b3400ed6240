"""Tests of options: their sources, which source counts, and the errors for wrong ones."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support import ROOT
from toto_aio.settings import (
    Option,
    Settings,
    SettingsError,
    describe_options,
    read_settings,
)
from toto_aio.settings.old_options import RENAMED


def complaint(
    options: dict[str, Any] | None = None,
    file: Path | None = None,
    environ: dict[str, str] | None = None,
    arguments: dict[str, str] | None = None,
) -> str:
    """The one line of the error for these options, which must be wrong."""
    with pytest.raises(SettingsError) as caught:
        read_settings(options or {}, file, environ, arguments)
    line = str(caught.value)
    assert line
    assert "\n" not in line
    return line


def write(folder: Path, text: str, name: str = "toto.conf") -> Path:
    """A file with options."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_defaults() -> None:
    """With no options it serves 127.0.0.1:8888 with SQLite in ``toto.db`` and the package ``methods``."""
    settings = read_settings({})
    assert (settings.host, settings.port, settings.root) == ("127.0.0.1", 8888, "/service")
    assert (settings.database, settings.session_store) == ("sqlite:///toto.db", None)
    assert (settings.method_module, settings.method_select, settings.get_methods) == (
        "methods",
        "both",
        "safe",
    )
    assert (settings.bson_enabled, settings.msgpack_enabled, settings.debug) == (True, True, False)
    assert (settings.session_ttl, settings.anon_session_ttl, settings.session_max_ttl) == (
        30 * 86400,
        86400,
        365 * 86400,
    )
    assert (settings.session_renew, settings.anon_session_renew) == (0, 0)
    assert (settings.signing, settings.events) == ("user_id", "memory://")
    assert (settings.max_body_size, settings.batch_limit, settings.batch_concurrency) == (2**20, 50, 1)
    assert (settings.method_timeout, settings.password_min_length) == (60, 8)
    assert settings.account_fields == []


def test_the_defaults_are_sound() -> None:
    """Each default is also valid as a value of its option."""
    settings = read_settings({})
    assert read_settings(msgspec.structs.asdict(settings)) == settings


def test_each_source_overrides_the_last(tmp_path: Path) -> None:
    """Keyword arguments, then the file, then the environment, then the command line."""
    options = {"port": 1, "root": "/options", "host": "options", "session_ttl": 1, "debug": False}
    file = write(tmp_path, "port = 2\nroot = '/file'\nhost = 'file'\nsession_ttl = 2")
    environ = {"TOTO_AIO_PORT": "3", "TOTO_AIO_ROOT": "/environ", "TOTO_AIO_HOST": "environ"}
    arguments = {"port": "4", "root": "/arguments"}
    settings = read_settings(options, file, environ, arguments)
    assert (settings.port, settings.root) == (4, "/arguments")
    assert settings.host == "environ"
    assert settings.session_ttl == 2
    assert settings.debug is False
    assert settings.batch_limit == 50


@pytest.mark.parametrize("name", ["toto.toml", "toto.conf"])
def test_a_file_overrides_keyword_arguments(tmp_path: Path, name: str) -> None:
    """A file of either kind overrides keyword arguments."""
    file = write(tmp_path, 'port = 2\nhost = "file"', name)
    settings = read_settings({"port": 1, "host": "options", "root": "/options"}, file)
    assert (settings.port, settings.host, settings.root) == (2, "file", "/options")


def test_the_environment_overrides_a_file(tmp_path: Path) -> None:
    """A variable overrides the file, whatever the type of its value."""
    file = write(tmp_path, 'port = 2\ndebug = true\naccount_fields = ["a"]', "toto.toml")
    environ = {"TOTO_AIO_PORT": "3", "TOTO_AIO_DEBUG": "false", "TOTO_AIO_ACCOUNT_FIELDS": "b,c"}
    settings = read_settings({}, file, environ)
    assert (settings.port, settings.debug, settings.account_fields) == (3, False, ["b", "c"])


def test_other_variables_are_ignored() -> None:
    """Only variables whose names begin with ``TOTO_AIO_`` are options."""
    settings = read_settings({}, environ={"PORT": "1", "TOTO_PORT": "2", "XTOTO_AIO_PORT": "3", "HOME": "/"})
    assert settings == read_settings({})


def test_a_toml_file(tmp_path: Path) -> None:
    """TOML is read with its own types."""
    file = write(
        tmp_path,
        """
        # a comment
        port = 9000
        debug = true
        session_ttl = 1.5
        anon_session_ttl = 60
        database = "memory://"
        account_fields = ["email", "name"]
        root = '/caf\u00e9'
        """,
        "toto.toml",
    )
    settings = read_settings({}, file)
    assert (settings.port, settings.debug, settings.session_ttl, settings.anon_session_ttl) == (
        9000,
        True,
        1.5,
        60,
    )
    assert (settings.database, settings.root) == ("memory://", "/caf\u00e9")
    assert settings.account_fields == ["email", "name"]


@pytest.mark.parametrize("name", ["toto.conf", "toto.py", "toto", "options.cfg"])
def test_a_file_of_toto(tmp_path: Path, name: str) -> None:
    """Any other file has Toto's ``name = value`` with Python literals."""
    file = write(
        tmp_path,
        """# a comment
port = 9000  # and another
debug = True
session_ttl = 5
session_store = None
database = 'memory:' "//"
account_fields = [
    "email",
    'name',
]
root='/caf\u00e9'
session_renew = 0x10; session_max_ttl = 1e6
""",
        name,
    )
    settings = read_settings({}, file)
    assert (settings.port, settings.debug, settings.session_ttl, settings.session_renew) == (
        9000,
        True,
        5,
        16,
    )
    assert (settings.database, settings.session_store, settings.root) == ("memory://", None, "/caf\u00e9")
    assert (settings.account_fields, settings.session_max_ttl) == (["email", "name"], 1e6)


def test_a_file_may_be_named_by_text_or_path(tmp_path: Path) -> None:
    """``conf_file`` is a path or a string."""
    file = write(tmp_path, "port = 9")
    assert read_settings({}, file).port == read_settings({}, str(file)).port == 9


@pytest.mark.parametrize(
    "line",
    [
        "port = open('{marker}', 'w').write('x')",
        "import os",
        "from os import *",
        "port = 1 + 1",
        "port = other",
        "port = [n for n in [1]][0]",
        "port = (lambda: 1)()",
        "root = f'{{1}}'",
        "port = 1 if True else 2",
        "open('{marker}', 'w')",
        "print(1)",
        "port: int = 1",
        "port += 1",
        "port = root = 1",
        "port, root = 1, '/'",
        "def port(): pass",
        "with open('{marker}', 'w'): pass",
        "'text'",
        "port",
        "settings.port = 1",
        "port[0] = 1",
    ],
)
def test_code_in_a_file_is_refused_and_never_executed(tmp_path: Path, line: str) -> None:
    """What is not a literal is refused with its line, and nothing in the file is executed."""
    marker = tmp_path / "marker"
    file = write(tmp_path, "host = '127.0.0.1'\n" + line.format(marker=marker))
    said = complaint(file=file)
    assert str(file) in said
    assert "line 2" in said
    assert "write" in said
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "port = ",
        "port = (",
        "port 9000",
        "  port = 1\n port = 2",
        "port = 'a",
        "port = \0",
        "port = {[]: 1}",
        "port = {{}}",
        "port = " + "(" * 500 + "1" + ")" * 500,
        "port = " + "-" * 5000 + "1",
        "port = " + "9" * 5000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    """Broken syntax, and literals that Python cannot evaluate, give one line that names the file."""
    file = write(tmp_path, text)
    assert complaint(file=file).startswith(f"{file}: ")


@pytest.mark.parametrize("text", ["port", "port = ", "port = 1\nport = 2", "port = nine", "= 1"])
def test_a_toml_file_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    """Broken TOML gives one line that names the file."""
    file = write(tmp_path, text, "toto.toml")
    assert complaint(file=file).startswith(f"{file}: ")


@pytest.mark.parametrize("name", ["toto.toml", "toto.conf"])
def test_a_file_that_is_not_text(tmp_path: Path, name: str) -> None:
    """Bytes that are not UTF-8 give one line that names the file."""
    file = tmp_path / name
    file.write_bytes(b'root = "\xff"')
    assert complaint(file=file).startswith(f"{file}: ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that is missing, or is a folder, is named with the reason."""
    missing = tmp_path / "missing.toml"
    assert complaint(file=missing) == f"{missing}: No such file or directory"
    assert complaint(file=tmp_path) == f"{tmp_path}: Is a directory"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("True", True),
        ("1", True),
        ("false", False),
        ("False", False),
        ("FALSE", False),
        ("0", False),
    ],
)
def test_booleans_as_text(text: str, value: bool) -> None:
    """A boolean on the command line or in the environment is true or false, or 1 or 0."""
    assert read_settings({}, environ={"TOTO_AIO_DEBUG": text}).debug is value
    assert read_settings({}, arguments={"debug": text}).debug is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("email", ["email"]),
        ("email,name", ["email", "name"]),
        (" email , name,", ["email", "name"]),
        ("", []),
    ],
)
def test_lists_as_text(text: str, value: list[str]) -> None:
    """A list on the command line or in the environment is separated by commas."""
    assert read_settings({}, environ={"TOTO_AIO_ACCOUNT_FIELDS": text}).account_fields == value
    assert read_settings({}, arguments={"account_fields": text}).account_fields == value


@pytest.mark.parametrize(("text", "value"), [("5", 5.0), ("0.5", 0.5), ("1e3", 1000.0)])
def test_seconds_as_text(text: str, value: float) -> None:
    """A time is a number of seconds, whole or not."""
    assert read_settings({}, environ={"TOTO_AIO_SESSION_TTL": text}).session_ttl == value


def test_objects_as_options() -> None:
    """Options such as the database and the methods accept an object instead of text."""
    database, methods = object(), {"echo": print}
    settings = read_settings({"database": database, "method_module": methods, "startup_function": print})
    assert settings.database is database
    assert settings.method_module is methods
    assert settings.startup_function is print


def test_unknown_options_get_a_suggestion(tmp_path: Path) -> None:
    """An option that does not exist is named with its source, and a similar one is suggested."""
    assert complaint({"session_tll": 5}) == "session_tll: no such option; did you mean session_ttl?"
    file = write(tmp_path, "session_tll = 5", "toto.toml")
    assert complaint(file=file) == f"{file}: session_tll: no such option; did you mean session_ttl?"
    assert "did you mean session_ttl?" in complaint(environ={"TOTO_AIO_SESSION_TLL": "5"})
    assert complaint(environ={"TOTO_AIO_SESSION_TLL": "5"}).startswith("TOTO_AIO_SESSION_TLL: ")
    assert complaint(arguments={"session_tll": "5"}).startswith("--session_tll: ")
    assert "did you mean session_ttl?" in complaint(arguments={"session_tll": "5"})
    assert "did you mean" not in complaint({"zzzzzz": 5})


def test_a_typo_in_port_suggests_port() -> None:
    """The most likely typo gets the right suggestion."""
    assert "port" in complaint({"prot": 9000}).partition("did you mean")[2]


def test_a_table_in_toml_is_not_an_option(tmp_path: Path) -> None:
    """Options are at the top level of the file."""
    file = write(tmp_path, "[server]\nport = 1", "toto.toml")
    assert complaint(file=file).startswith(f"{file}: server: no such option")


@pytest.mark.parametrize(
    "name", sorted({*RENAMED, "hmac_enabled", "mongodb_database", "db_host", "event_mode"})
)
def test_options_of_toto_that_have_another_name(tmp_path: Path, name: str) -> None:
    """An old name stops the start in every source, and the line says what to write instead."""
    file = write(tmp_path, f"{name} = 'x'")
    lines = {
        name: complaint({name: "x"}),
        f"{file}: {name}": complaint(file=file),
        f"TOTO_AIO_{name.upper()}": complaint(environ={f"TOTO_AIO_{name.upper()}": "x"}),
        f"--{name}": complaint(arguments={name: "x"}),
    }
    for place, line in lines.items():
        assert line == f"{place}: {RENAMED[name]}"
        assert "write" in line or "leave it out" in line


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("daemon", "", {"daemon": "serve"}),
        ("daemon", "restart", {"daemon": "restart"}),
        ("nodaemon", True, {"nodaemon": True}),
        ("start", True, {"daemon": "start"}),
        ("stop", True, {"daemon": "stop"}),
        ("restart", False, {"daemon": "serve"}),
        ("processes", -1, {"processes": 0}),
        ("processes", 4, {"processes": 4}),
        ("event_mode", "off", {"events": "off"}),
        ("hmac_enabled", False, {"signing": "off"}),
        ("database", "none", {"database": "none"}),
        ("database", "postgres", {"database": "postgres"}),
    ],
)
def test_values_of_toto_that_are_taken(tmp_path: Path, name: str, value: Any, taken: dict[str, Any]) -> None:
    """They are taken from every source."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    for settings in (
        read_settings({name: value}),
        read_settings({}, write(tmp_path, f"{name}={value!r}")),
        read_settings({}, environ={f"TOTO_AIO_{name.upper()}": text}),
        read_settings({}, arguments={name: text}),
    ):
        assert {option: getattr(settings, option) for option in taken} == taken


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("daemon", "yes", "serve, start, stop, restart"),
        ("start", "yes", "no such option"),
        ("processes", -2, ">= 0"),
        ("database", "json", "write database=sqlite:///toto.db"),
        ("database", "file", "write database=sqlite:///toto.db"),
        ("event_mode", "on", "events=redis://host/0"),
        ("event_mode", "only", "leave this server out"),
        ("hmac_enabled", True, "signing=toto1"),
    ],
)
def test_values_of_toto_that_are_not(tmp_path: Path, name: str, value: Any, expected: str) -> None:
    """They stop the start, from every source."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    assert expected in complaint({name: value})
    assert expected in complaint(file=write(tmp_path, f"{name}={value!r}"))
    assert expected in complaint(environ={f"TOTO_AIO_{name.upper()}": text})
    assert expected in complaint(arguments={name: text})


TOTO_1 = """
    allow_origin anon_session_renew anon_session_ttl autoreload bson_enabled client_side_worker_path command
    compression_module control_socket_address cookie_domain cookie_secret daemon database db_host db_port
    debug event_init_module event_mode event_port hmac_enabled method_module method_select mongodb_database
    msgpack_enabled mysql_database mysql_password mysql_user mysql_uuid_account_id nodaemon pidfile port
    postgres_database postgres_max_connections postgres_min_connections postgres_password postgres_user
    processes redis_database remote_event_receivers restart root secure_cookies serialization_module
    session_renew session_ttl socket_closed_method socket_method_module socket_opened_method socket_path
    start startup_function stop use_cookies use_web_sockets worker_address worker_auto_retry
    worker_bind_address worker_compression_module worker_retry_count worker_serialization_mime
    worker_serialization_module worker_socket_address worker_timeout worker_transport
    logging log_file_prefix log_file_max_size log_file_num_backups log_to_stderr
"""
"""All options of Toto 1.0, and those that Tornado gave it."""


@pytest.mark.parametrize("name", TOTO_1.split())
def test_every_option_of_toto_is_known(name: str) -> None:
    """It still is an option, or a line says what to write: none is merely unknown."""
    if name in {option.name for option in describe_options()}:
        return
    if name in ("start", "stop", "restart"):
        assert read_settings({name: True}).daemon == name
        return
    said = complaint({name: "x"})
    assert said == f"{name}: {RENAMED[name]}"
    assert "did you mean" not in said


@pytest.mark.parametrize(
    "name",
    [
        *("port", "root", "method_module", "method_select", "database", "session_ttl", "anon_session_ttl"),
        *(
            "session_renew",
            "anon_session_renew",
            "debug",
            "startup_function",
            "bson_enabled",
            "msgpack_enabled",
        ),
        "event_init_module",
    ],
)
def test_options_of_toto_keep_their_name(name: str) -> None:
    """Toto's name is still the name of the option."""
    assert name in {option.name for option in describe_options()}
    assert name not in RENAMED


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "9000", "int"),
        ("port", 9000.5, "int"),
        ("port", True, "int"),
        ("port", None, "int"),
        ("port", -1, ">= 0"),
        ("port", 65536, "<= 65535"),
        ("debug", "true", "bool"),
        ("debug", 1, "bool"),
        ("root", 5, "str"),
        ("session_ttl", "5", "float"),
        ("session_ttl", 0, "> 0"),
        ("session_ttl", -1, "> 0"),
        ("session_ttl", float("nan"), "> 0"),
        ("session_renew", -0.5, ">= 0"),
        ("threads", 0, ">= 1"),
        ("batch_limit", 0, ">= 1"),
        ("max_body_size", 0, ">= 1"),
        ("password_min_length", 1025, "<= 1024"),
        ("account_fields", 5, "array"),
        ("account_fields", ["email", 5], "str"),
        ("method_select", "body", "both, url, parameter"),
        ("method_select", 5, "both, url, parameter"),
        ("get_methods", "none", "safe, all"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_write(name: str, value: Any, expected: str) -> None:
    """One line names the option, the expected value, and the value found."""
    line = complaint({name: value})
    assert line.startswith(f"{name}: ")
    assert expected in line
    assert line.endswith(f"not {value!r}")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("port", "nine", "int"),
        ("port", "", "int"),
        ("port", "90.5", "int"),
        ("port", "70000", "<= 65535"),
        ("debug", "maybe", "bool"),
        ("debug", "", "bool"),
        ("session_ttl", "an hour", "float"),
        ("session_ttl", "nan", "> 0"),
        ("method_select", "URL", "both, url, parameter"),
    ],
)
def test_a_wrong_text_is_named_with_its_place(tmp_path: Path, name: str, text: str, expected: str) -> None:
    """The line names the variable or the argument that is wrong."""
    variable = f"TOTO_AIO_{name.upper()}"
    for place, line in (
        (variable, complaint(environ={variable: text})),
        (f"--{name}", complaint(arguments={name: text})),
    ):
        assert line.startswith(f"{place}: ")
        assert expected in line
        assert line.endswith(f"not {text!r}")


def test_a_wrong_value_in_a_file_is_named_with_the_file(tmp_path: Path) -> None:
    """The line names the file and the option."""
    for name in ("toto.toml", "toto.conf"):
        file = write(tmp_path, "port = 70000", name)
        assert complaint(file=file) == f"{file}: port: expected int <= 65535, not 70000"


def test_a_later_source_does_not_excuse_a_wrong_one(tmp_path: Path) -> None:
    """A wrong value is reported even if another source overrides it."""
    assert "toto.conf" in complaint(file=write(tmp_path, "port = 'x'"), arguments={"port": "1"})


def test_settings_cannot_be_changed() -> None:
    """Settings stay as they were read."""
    settings = read_settings({})
    with pytest.raises(AttributeError):
        settings.port = 1  # type: ignore[misc]
    read_settings({}).account_fields.append("email")
    assert read_settings({}).account_fields == []


@pytest.mark.parametrize("option", list(describe_options()), ids=lambda option: option.name)
def test_every_option_is_described(option: Option) -> None:
    """Each has a description, a group, a default and a placeholder for its value, for ``--help``."""
    assert option.description.strip() == option.description != ""
    assert option.group.istitle()
    assert option.metavar
    assert option.default == getattr(read_settings({}), option.name)
    assert all(choice in option.metavar for choice in option.choices)
    assert option.name.islower()


def test_every_setting_is_an_option() -> None:
    """``--help`` lists everything that can be set, and each group is contiguous."""
    options = list(describe_options())
    assert [option.name for option in options] == list(Settings.__struct_fields__)
    groups = [option.group for option in options]
    assert [group for at, group in enumerate(groups) if group not in groups[:at]] == [
        group for at, group in enumerate(groups) if at == 0 or groups[at - 1] != group
    ]


def test_only_given_sources_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment argument, the process's own environment is not read."""
    monkeypatch.setenv("TOTO_AIO_PORT", "1")
    assert os.environ["TOTO_AIO_PORT"] == "1"
    assert read_settings({}).port == 8888


def test_options_of_the_server() -> None:
    """The page on embedding names the options that count for an application with services."""
    page = (ROOT / "docs" / "embedding.md").read_text()
    listed = page.partition("have the options of the server:")[2].partition(". Options")[0]
    assert re.findall(r"`(\w+)`", listed) == [
        option.name for option in describe_options() if option.by_server
    ]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("signing = toto1", "write 'toto1', in quotes"),
        (
            "session_ttl = 60 * 60",
            "write the value itself, a number or a text in quotes; 60 * 60 is not evaluated",
        ),
    ],
)
def test_what_to_write_for_an_expression(tmp_path: Path, line: str, what: str) -> None:
    """Nothing in a file of Toto's is executed."""
    name = line.partition(" ")[0]
    assert complaint(file=write(tmp_path, line)).endswith(f"toto.conf: line 1: {name}: {what}")


@pytest.mark.parametrize("line", ["import os", "from aiohttp import web"])
def test_a_program_instead_of_options(tmp_path: Path, line: str) -> None:
    """The line says how a script and an application are started."""
    said = complaint(file=write(tmp_path, f"port = 1\n{line}", "site.py"))
    assert "site.py: line 2: options are name = value, and no import is executed" in said
    assert "package.module:application" in said
