"""``toto-aio accounts``: each action, its questions, its failures and their exit statuses."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.accounts.conftest import Done, Run
from tests.support.authenticator import SECRET_KEY, App
from toto_aio import open_service
from toto_aio.cli.accounts import listing
from toto_aio.cli.accounts.command import ACTIONS
from toto_aio.cli.call.completion import completions
from toto_aio.cli.main import COMMANDS
from toto_aio.exceptions import SecondFactorRequired
from toto_aio.models import ClientInfo

PASSWORD, NEW = "correct horse", "battery staple"


def failed(done: Done, status: int) -> str:
    """The one line of a failure with this status, in which nothing was done."""
    assert (done.status, done.out) == (status, ""), done
    assert done.err.count("\n") == 1, done
    assert "toto_aio.audit" not in done.err
    return done.err.removeprefix("toto-aio: ").rstrip("\n")


def audited(done: Done) -> list[str]:
    """The lines of the audit log that a command has written."""
    lines = [line for line in done.err.splitlines() if "toto_aio.audit" in line]
    return [line.partition("toto_aio.audit: ")[2] for line in lines]


def in_service(do: Any, **options: Any) -> Any:
    """What a coroutine function gives of the service of the folder."""

    async def opened() -> Any:
        async with open_service(**options) as service:
            return await do(service)

    return asyncio.run(opened())


def test_an_account_for_its_whole_life(run: Run) -> None:
    """It is added, shown, given and taken roles, logged out, given another password, exported and deleted."""
    who = f"by toto-aio accounts of {pwd_name()!r}"
    done = run("add", " Ada", "--roles=admin,editor", stdin=f"{PASSWORD}\n")
    assert (done.status, done.out) == (0, "")
    assert "Added ada as admin, editor" in done.err
    assert audited(done) == [
        f"account_created of 'ada' {who}",
        f"roles_set of 'ada' {who}: roles=['admin', 'editor']",
    ]
    assert "already in use" in failed(run("add", "ADA", stdin=PASSWORD), 1)

    for given, roles in (
        (("roles", "ada"), "admin editor"),
        (("roles", "ada", "author"), "admin author editor"),
        (("roles", "ada", "--remove", "author", "admin", "unknown"), "editor"),
        (("roles", "ada", "editor"), "editor"),
        (("roles", "--replace", "ada", "a", "b"), "a b"),
        (("roles", "ada", "--replace"), ""),
        (("roles", "ada", "admin", "--replace"), "admin"),
    ):
        done = run(*given)
        assert (done.status, done.out.split()) == (0, roles.split()), given

    async def log_in(service: Any) -> None:
        for agent in ("one\x1b[2J", "two"):
            await service.sessions.log_in("ada", PASSWORD, ClientInfo("192.0.2.1", agent))
        await service.connection.api_keys.create("ada", "backup", ["notes.*"])
        account = await service.accounts.get("ada")
        account["email"] = "ada@example.org\n\u202e"
        await account.save()

    in_service(log_in)
    shown = run("show", "Ada").out
    assert shown.splitlines() == [
        "user: ada",
        "roles: admin",
        "password: yes",
        "second factor: no",
        "sessions: 2",
        "API keys: 1",
        "field email: ada@example.org\\n\\u202e",
    ]
    assert json.loads(run("show", "ada", "--json").out) == {
        "user_id": "ada",
        "roles": ["admin"],
        "has_password": True,
        "fields": {"email": "ada@example.org\n\u202e"},
        "sessions": 2,
        "api_keys": 1,
        "second_factor": False,
    }
    heading, first, _ = run("sessions", "ada").out.splitlines()
    assert heading.split("  ")[0] == "CREATED (UTC)"
    assert "192.0.2.1" in first
    assert "one" in first and "\x1b" not in first  # noqa: PT018
    sessions = [json.loads(line) for line in run("sessions", "ada", "--json").out.splitlines()]
    assert [one["agent"] for one in sessions][1] == "two"
    assert all("session_id" not in one for one in sessions)

    done = run("export", "ada", "-o", "ada.json")
    assert audited(done) == [f"account_exported of 'ada' {who}"]
    exported = json.loads(Path("ada.json").read_text())
    assert exported["user_id"] == "ada"
    assert len(exported["sessions"]) == 2
    assert [key["name"] for key in exported["api_keys"]] == ["backup"]
    assert Path("ada.json").stat().st_mode & 0o777 == 0o600
    assert json.loads(run("export", "ada").out) == exported
    assert PASSWORD not in json.dumps(exported)
    Path("link.json").symlink_to("other.json")
    for name in ("ada.json", "link.json", "nowhere/ada.json"):
        assert run("export", "ada", "-o", name).status == 2, name
    assert not Path("other.json").exists()

    done = run("end", "ada")
    assert "Ended 2 sessions of ada" in done.err
    assert "within 30 seconds" in done.err
    assert audited(done) == [f"sessions_ended of 'ada' {who}: count=2"]
    assert audited(run("end", "ada")) == []
    done = run("password", "ada", stdin=f"{NEW}\r\nmore\n")
    assert done.status == 0
    assert audited(done) == [f"password_set of 'ada' {who}"]
    assert in_service(lambda service: service.accounts.verify("ada", NEW)).user_id == "ada"

    assert "write --yes" in failed(run("delete", "ada"), 2)
    for typed in (["n"], [""], []):
        assert run("delete", "ada", typed=typed).status == 2, typed
    done = run("delete", "ada", typed=["Y"])
    assert "Delete the account 'ada' and end its sessions? This cannot be undone." in done.out
    assert audited(done) == [f"account_deleted of 'ada' {who}"]
    for given in (
        ("delete", "ada", "--yes"),
        ("end", "ada"),
        ("show", "ada"),
        ("roles", "ada", "x"),
        ("totp", "ada"),
    ):
        assert "there is no account 'ada'" in failed(run(*given), 4), given
    assert run("list").out.splitlines() == ["USER  ROLES  PASSWORD  FIELDS"]


def pwd_name() -> str:
    """The system's user of this process."""
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def test_who_runs_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has the user who has become another one by sudo, and the names that the environment has not."""
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setenv("SUDO_USER", "alice")
    (line,) = audited(run("add", "ada", "--no-password"))
    assert line.endswith(f"of 'alice as {pwd_name()}'")


def test_a_lost_second_factor(run: Run) -> None:
    """It is shown, and turned off if that is certain: a login has one step, and the audit log an entry."""
    run("add", "ada", stdin=PASSWORD)
    assert run("totp", "ada").out == "off\n"

    async def enrol(service: Any) -> None:
        second = service.connection.second_factor
        app = App((await second.enrol("ada"))["uri"])
        await second.confirm("ada", app.code())
        with pytest.raises(SecondFactorRequired):
            await service.sessions.log_in("ada", PASSWORD, ClientInfo())

    in_service(enrol, secret_key=SECRET_KEY)  # the command needs none
    assert run("totp", "Ada").out == "on\n"
    assert "write --yes" in failed(run("totp", "ada", "--off"), 2)
    assert run("totp", "ada", "--off", typed=["n"]).status == 2
    assert run("totp", "ada").out == "on\n"
    done = run("totp", "ada", "--off", "--yes")
    assert (done.status, done.out) == (0, "off\n")
    assert audited(done) == [f"totp_disabled of 'ada' by toto-aio accounts of {pwd_name()!r}"]
    in_service(lambda service: service.sessions.log_in("ada", PASSWORD, ClientInfo()))
    done = run("totp", "ada", "--off", typed=["y"])
    assert "Nothing to change" in done.err
    assert audited(done) == []


def test_passwords(run: Run) -> None:
    """They are typed twice, or the first line of stdin, and never an argument; too short ones are refused."""
    assert run("add", "ada", typed=[PASSWORD, PASSWORD]).status == 0
    assert "the two passwords differ" in failed(run("password", "ada", typed=[NEW, PASSWORD]), 2)
    for done in (run("password", "ada", typed=[]), run("password", "ada"), run("add", "eve", stdin="\n")):
        assert "there is no password: type it" in failed(done, 2)
    assert "8 to 1024 bytes" in failed(run("password", "ada", stdin="short"), 2)
    assert "one argument too many" in failed(run("password", "ada", NEW, stdin=NEW), 2)
    assert in_service(lambda service: service.accounts.verify("ada", PASSWORD)).user_id == "ada"
    assert run("add", "eve", "--no-password").status == 0
    assert run("list").out.splitlines() == [
        "USER  ROLES  PASSWORD  FIELDS",
        "ada          yes",
        "eve          no",
    ]


def test_long_lists(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read and written in pages, from a cursor on, up to a limit, and those of a role alone."""
    names = [f"user{number:02}" for number in range(25)]

    async def fill(service: Any) -> None:
        for name in names:
            await service.accounts.create(name, None)
        for name in names[3::10]:
            await service.accounts.set_roles(name, ["admin"])

    in_service(fill)
    for page in (500, 10, 5, 1):
        monkeypatch.setattr(listing, "PAGE", page)
        for given, found, more in (
            ((), names, ""),
            (("--limit=25",), names, None),  # whether another page has more is only known by reading it
            (("--limit=10",), names[:10], "user09"),
            (("--after=user09", "--limit=1"), ["user10"], "user10"),
            (("--after=user19",), names[20:], ""),
            (("--after=zoe",), [], ""),
            (("--role=admin",), names[3::10], ""),
            (("--role=admin", "--limit=1"), ["user03"], "user03"),
            (("--role=admin", "--limit=2", "--after=user03"), ["user13", "user23"], None),
        ):
            done = run("list", "--json", *given)
            assert [json.loads(line)["user_id"] for line in done.out.splitlines()] == found, (page, given)
            hint = f"there may be more: write --after={more}\n" if more else ""
            assert more is None or done.err == hint, (page, given)
    assert run("list", "--limit=2").out.splitlines()[1:] == ["user00         no", "user01         no"]
    for wrong in ("0", "-1", "x", "1.5", "9" * 20, "9" * 5000):
        assert "--limit: write a number from 1 on" in failed(run("list", f"--limit={wrong}"), 2)
    assert "roles: write a name" in failed(run("list", "--role=a b"), 2)


def test_where_the_service_is(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options are those of a file, of the environment and of the command line, as for ``serve``."""
    message = failed(run("list"), 2)
    assert message.startswith(f"database: there is no file {tmp_path}/toto.db here: write --file=FILE")
    assert list(tmp_path.iterdir()) == []
    for scheme in ("memory://", "none"):
        message = failed(run("add", "ada", "--no-password", f"--database={scheme}"), 2)
        assert "has no accounts that another process could see" in message
    Path("own.toml").write_text('database = "sqlite:///own.db"\nmethod_module = "not.there"\n')
    assert run("add", "ada", "--no-password", "--file=own.toml").status == 0
    assert Path("own.db").exists()
    for given in (["end"], ["sessions"], ["password"], ["delete", "--yes"]):
        done = run(*given, "ada", "--file=own.toml", "--session-store=memory://", stdin=NEW)
        assert failed(done, 2).startswith("session_store: only the running service sees the sessions"), given
    monkeypatch.setenv("TOTO_AIO_DATABASE", "sqlite:///own.db")
    assert "ada" in run("list").out
    assert run("list", "--database=sqlite:///other.db").status == 2
    message = failed(run("list", "--database=postgresql://nobody@127.0.0.1:1/none"), 5)
    assert message.startswith("Cannot open the database postgresql://127.0.0.1:1/none: ")
    assert "Unavailable" not in message
    assert "app:make: this command takes no application" in failed(run("list", "--file=app:make"), 2)
    assert "--databse: no such option; did you mean database?" in failed(run("list", "--databse=x"), 2)


def test_the_command_line(run: Run) -> None:
    """Help names the actions and statuses; what is wrong is one line, and nothing is opened."""
    text = run().out
    for name in ACTIONS:
        assert f"\n    {name} " in text
        assert run(name, "--help").out.startswith(f"usage: toto-aio accounts {name} ")
    assert "exit status: 0 done" in text
    for given, message in (
        (("lst",), "invalid choice: 'lst'"),
        (("show",), "the following arguments are required: USER"),
        (("list", "x"), "x: one argument too many; see --help"),
        (("roles", "ada", "the boss"), "roles: write a name of 1 to 64 letters"),
        (("roles", "ada", "--remove"), "--remove: write the roles to take"),
        (("totp", "ada", "--yes"), "--yes: write --off too"),
        (("roles", "ada", "x", "--remove", "--replace"), "not allowed with argument"),
        (("add", "ada", "--roles=a b"), "--roles: write a name"),
    ):
        assert message in failed(run(*given), 2), given


def test_completion() -> None:
    """Actions, and the options of each."""
    commands: dict[str, Any] = dict.fromkeys(COMMANDS, list)
    assert completions("toto-aio acc", commands) == ["accounts"]
    assert completions("toto-aio accounts ", commands) == sorted(ACTIONS)
    assert completions("toto-aio accounts roles ada --re", commands) == ["--remove", "--replace"]
    assert completions("toto-aio accounts list --", commands) == [
        "--after=",
        "--audit-event=",
        "--database=",
        "--events=",
        "--file=",
        "--help",
        "--json",
        "--limit=",
        "--log-format=",
        "--password-min-length=",
        "--role=",
        "--session-store=",
    ]
    assert completions("toto-aio accounts nothing ", commands) == []
