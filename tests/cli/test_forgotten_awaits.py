"""``toto-aio check`` names the lines of methods that forget to await."""

from __future__ import annotations

import inspect
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_check import found
from toto_aio import Handler, UserAccount, UserSession
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.api_keys import ApiKeys
from toto_aio.auth.sessions import Sessions
from toto_aio.cli.check import check
from toto_aio.cli.forgotten_awaits import AWAITED
from toto_aio.cli.main import main
from toto_aio.events import EventManager
from toto_aio.settings import SettingsError, read_settings

WRONG = [
    "handler.session.save()",
    "handler.session.save_state()",
    "handler.session.update(change)",
    "handler.events.send('x')",
    "handler.events.publish('room:1', {})",
    "first = handler.events.presence('room:1')[0]",
    "handler.accounts.set_roles('ada', ['admin'])",
    "handler.create_session()",
    "async with handler.transaction() as db: db.execute('delete from notes')",
    "async with handler.transaction() as db, other: rows = db.execute('select 1').fetchall()",
    "async with handler.transaction() as db:\n        async with db.cursor() as own: own.execute('x')",
    "async with handler.connection.db.acquire() as own: own.execute('delete from notes')",
    "db = handler.connection.db; db.execute('delete from notes')",
    "rows = handler.connection.db.fetch('select 1')[0]",
    "handler.connection.db.notes.insert_one({})",
    "db = handler.connection.db; db['notes'].delete_many({})",
    "handler.connection.db.incr('n')",
    "handler.connection.accounts.create('ada', None)",
    "handler.accounts.delete('ada')",
    "handler.sessions.end_all('ada')",
    "handler.db_connection.sessions.end_others(handler.session)",
    "EventManager.instance().send('x')",
    "toto_aio.events.EventManager.instance().send('x')",
    "session = handler.session; session.save()",
    "session = await handler.create_session(); session['x'] = 1; session.save()",
    "account = await handler.session.get_account(); account.save()",
    "account = handler.session.get_account(); account['name'] = 'Ada'",
    "name = handler.session.get_account()['name']",
    "manager = handler.events; manager.send('x')",
    "if True:\n        for _ in range(2):\n            handler.session.save()",
    "async def work():\n        handler.session.save()",
    "await other(handler.session.get_account().user_id)",
]
RIGHT = [
    "await handler.session.save()",
    "return handler.session.state",
    "await asyncio.gather(handler.session.save(), handler.events.send('x'))",
    "asyncio.create_task(handler.session.save())",
    "saving = handler.session.save(); await saving",
    "saving = handler.session.save(); await asyncio.wait([saving]); saving.close()",
    "account = handler.session.get_account(); account = await account; account['x'] = 1",
    "session = Session(); session.refresh(row); session.save()",
    "account = Account.objects.get(); account.save()",
    "handler.respond({})",
    "def work():\n        handler.session.save()\n    await asyncio.to_thread(work)",
    "handler.register_event_handler('x', lambda args: handler.session.save())",
    "async with handler.events.subscribe('x') as events: await events.get()",
    "handler.session.get('x')",
    "async with handler.transaction() as db: await db.execute('delete from notes')",
    "async with handler.transaction() as db:\n        async with db.execute('x') as own: await own.fetch()",
    "async with handler.connection.db.pipeline() as pipe: pipe.incr('n'); await pipe.execute()",
    "async with other.transaction() as db: db.execute('delete from notes')",
    "notes = handler.connection.db.notes.find({}); notes.sort('title')",
    "handler.connection.db.notes.title.update({})",
]


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> str:
    """The name of a new package with these files."""
    name = f"methods_{abs(hash(folder)):x}"
    (folder / name).mkdir()
    for file, text in files.items():
        (folder / name / f"{file}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    return name


def method(body: str, head: str = "async def invoke(handler, parameters):") -> str:
    """The source of a method."""
    return f"{head}\n    {body}\n"


@pytest.mark.parametrize("body", WRONG)
async def test_a_forgotten_await(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """It is grave, and named with its file and line; nothing of the package is run."""
    name = package(tmp_path, monkeypatch, note="raise SystemExit\n" + method(body))
    (finding,) = await found(method_module=name)
    assert finding.rule.gravity == "grave"
    line = 3 + body.count("\n")
    assert f"{tmp_path / name / 'note.py'}:{line}: " in str(finding)
    assert name not in sys.modules


@pytest.mark.parametrize("body", RIGHT)
async def test_what_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """What is awaited, runs in a thread, or is not of the service, is not reported."""
    assert await found(method_module=package(tmp_path, monkeypatch, note=method(body))) == []


@pytest.mark.parametrize(
    ("kind", "owner"),
    [
        ("handler", Handler),
        ("session", UserSession),
        ("account", UserAccount),
        ("accounts", Accounts),
        ("sessions", Sessions),
        ("events", EventManager),
        ("api_keys", ApiKeys),
    ],
)
def test_all_that_is_awaited(kind: str, owner: type) -> None:
    """What a running service notices is known."""
    noticed = {name for name, each in inspect.getmembers(owner) if hasattr(each, "__wrapped__")}
    assert noticed
    assert {name for name in noticed if not name.startswith("_")} <= AWAITED[kind]


async def test_plain_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain method runs in a thread, a plain hook on the loop."""
    plain = method("handler.session.save()", "def invoke(handler, parameters):")
    hooks = method("connection.accounts.create('ada', None)", "def start(connection, application):")
    hooks += method("handler.events.send(method)", "def after(handler, transaction_id, method):")
    hooks += method("handler.events.send(1)", "def unused(handler, transaction_id, method):")
    name = package(tmp_path, monkeypatch, note=plain, _hooks=hooks)
    options = {"startup_function": f"{name}._hooks.start", "after_handler": f"{name}._hooks.after"}
    assert await found(method_module=name) == []
    (finding,) = await found(method_module=name, **options)
    assert "_hooks.py:2: connection.accounts.create()" in str(finding)
    assert "_hooks.py:4: handler.events.send()" in str(finding)
    assert "_hooks.py:6" not in str(finding)


async def test_types_name_what_a_helper_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions that methods call are read too, with the types of their parameters."""
    helper = method("session.save()", "async def keep(session: toto_aio.UserSession, other: int) -> None:")
    unknown = method("session.save()", "async def keep(session) -> None:")
    name = package(tmp_path, monkeypatch, _helper=helper, _unknown=unknown)
    (finding,) = await found(method_module=name)
    assert "_helper.py:2: session.save()" in str(finding)
    assert "_unknown" not in str(finding)


async def test_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first are named, in folders below too."""
    name = package(tmp_path, monkeypatch, note=method("\n    ".join(["handler.session.save()"] * 12)))
    (finding,) = await found(method_module=name)
    assert str(finding).count("handler.session.save()") == 10
    assert ", ..." in str(finding)
    below = tmp_path / name / "below"
    below.mkdir()
    (tmp_path / name / "note.py").unlink()
    (below / "deep.py").write_text(method("handler.session.save()"))
    (finding,) = await found(method_module=name)
    assert "deep.py:2" in str(finding)


async def test_odd_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules, mappings and what doesn't exist are no trouble; what is no Python is refused."""
    note = tmp_path / "single.py"
    note.write_text(method("handler.session.save()"))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert len(await found(method_module="single")) == 1
    import single  # type: ignore[import-not-found]

    assert len(await found(method_module=single)) == 1
    assert len(await found(method_module={"a": single, "b": single.invoke, "c": 1})) == 1
    assert await found(method_module=types.ModuleType("made")) == []
    for name in ("no.such.package", "", "a..b", "sys"):
        assert await found(method_module=name) == []
    note.write_text("async def invoke(\n")
    with pytest.raises(SettingsError, match=r"single\.py:1: "):
        await found(method_module="single")


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]
) -> None:
    """The command finds the package in the current folder."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "note.py").write_text(method("handler.session.save()"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "methods", raising=False)
    with pytest.raises(SystemExit) as caught:
        main(["check", "--unix-socket=/run/s", "--trusted-proxies=unix", "--signing=off"])
    assert caught.value.code == 1
    assert "note.py:2: handler.session.save()" in capsys.readouterr().out


async def test_the_examples() -> None:
    """Nothing is found in the package's own methods."""
    assert not [
        finding
        for finding in await check(read_settings({"method_module": "toto_aio.methods"}))
        if finding.rule.setting == "method_module"
    ]
