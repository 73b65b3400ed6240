"""The audit log: who did what to which account, in a line and as an event, and never a secret."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.authenticator import SECRET_KEY, enrol, rewind
from tests.support.limits import WATCHDOG
from tests.support.service import PlainServer, Serve, Service, eventually
from toto_aio import Handler, create_app, middleware, open_service
from toto_aio.auth.audit import Action, Audit
from toto_aio.exceptions import InvalidCredentials, InvalidUserID, TooManyAttempts, Unavailable
from toto_aio.invocation import requires, roles
from toto_aio.lifespan import LIFESPAN
from toto_aio.methods.account import api_keys, delete, export, totp
from toto_aio.server.logs import FORMATS
from toto_aio.settings import SettingsError
from toto_aio.stores.memory import MemoryStore

DOCS = Path(__file__).parents[2] / "docs"
PASSWORD, NEW = "correct horse", "battery staple"
SECRETS = PASSWORD, NEW, "a wrong one", "typed into the wrong field"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "user-agent": "a\tb\u202e\x9b"}


@roles("admin")
@requires("user_id")
async def manage(handler: Handler, parameters: dict[str, Any]) -> None:
    """Do everything that an administrator can do to an account."""
    user_id = parameters["user_id"]
    await handler.connection.accounts.create(user_id, None)
    await handler.accounts.set_password(user_id, PASSWORD)
    await handler.accounts.set_roles(user_id, ["editor"])
    await handler.sessions.end_all("grace")
    await handler.accounts.delete(user_id)


@roles("admin")
def manage_in_a_thread(handler: Handler, parameters: dict[str, Any]) -> None:
    """Do the same in a plain function."""
    handler.wait(handler.accounts.set_roles("ada", ["admin"]))


METHODS = {
    "manage": manage,
    "thread": manage_in_a_thread,
    "keys.create": api_keys.create,
    "keys.revoke": api_keys.revoke,
}


class Log(logging.Handler):
    """Keeps what the audit logger writes."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)

    def take(self) -> list[Any]:
        """The records since the last time."""
        taken, self.records = self.records, []
        return taken


@pytest.fixture
def log() -> Iterator[Log]:
    """What the audit logger writes, as under ``serve``."""
    logger, found = logging.getLogger("toto_aio.audit"), Log()
    logger.addHandler(found)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(found)
    logger.setLevel(logging.NOTSET)


def short(record: Any) -> tuple[str, str, str, str]:
    """What was done to whom, and by whom."""
    return record.action, record.account, record.actor_kind, record.actor


async def test_what_a_user_does(serve: Serve, log: Log) -> None:
    """Each action is an entry with the account, the user, the address, the method, the call and the trace."""
    service = await serve(METHODS)
    answer = await service.call("account.create", {"user_id": " Ada", "password": PASSWORD}, **HEADERS)
    ada = answer["result"]["session_id"]
    created, login = log.take()
    assert [short(one) for one in (created, login)] == [
        ("account_created", "ada", "nobody", ""),
        ("login", "ada", "nobody", ""),
    ]
    for one in (created, login):
        assert (one.address, one.method, one.trace_id) == ("127.0.0.1", "account.create", TRACE)
        assert one.agent == "a\ufffdb\\u202e\ufffd"
        assert re.fullmatch("[0-9a-f]{16}", one.transaction_id)
    assert login.details == {"how": "service"}
    assert created.transaction_id == login.transaction_id

    second, third = [await logged_in(service) for _ in range(2)]
    log.take()
    handle = next(
        one["handle"]
        for one in (await service.result("account.sessions", session=ada))["sessions"]
        if not one["current"]
    )
    await service.result("account.revoke", {"handle": handle}, session=ada)
    await service.result("account.revoke_all", session=ada)
    await service.result("account.revoke_all", session=ada)  # of none
    for password, new in (("a wrong one", NEW), (PASSWORD, NEW), (NEW, "short")):
        changed = await service.call(
            "account.update", {"password": password, "new_password": new}, session=ada
        )
        ada = changed.get("result", {}).get("session_id", ada)
    for user_id, password in (("ada", "a wrong one"), ("typed into the wrong field", NEW), ("ADA", NEW)):
        await service.call("account.login", {"user_id": user_id, "password": password})
    await service.call("account.logout")
    await service.call("account.logout", session=ada)
    entries = log.take()
    assert [(*short(one), one.details) for one in entries] == [
        ("session_ended", "ada", "user", "ada", {}),
        ("sessions_ended", "ada", "user", "ada", {"count": 1}),
        ("password_refused", "ada", "user", "ada", {"reason": "wrong_credentials"}),
        ("password_changed", "ada", "user", "ada", {}),
        ("login_failed", "ada", "nobody", "", {"reason": "wrong_credentials"}),
        ("login_failed", "", "nobody", "", {"reason": "wrong_credentials"}),
        ("login", "ada", "nobody", "", {"how": "password"}),
        ("logout", "ada", "user", "ada", {}),
    ]
    assert second != third
    assert_readable(entries, ada, second, third)


async def logged_in(service: Service, user_id: str = "ada", password: str = PASSWORD) -> str:
    """A new session."""
    found = await service.result("account.login", {"user_id": user_id, "password": password})
    return str(found["session_id"])


def assert_readable(entries: list[Any], *secrets: str) -> None:
    """No entry has a secret, in either format, and none is more than a printable line."""
    for record in entries:
        for formatter in FORMATS.values():
            line = formatter.format(record)
            assert line.isprintable(), line
            for chance in (record.asctime, record.transaction_id):  # whose digits may be those of a code
                line = line.replace(chance, "")
            for secret in (*SECRETS, *secrets):
                assert secret not in line, line


async def test_what_an_administrator_does(serve: Serve, log: Log) -> None:
    """It has the user who is logged in: by POST, in a batch, by JSON-RPC, on a socket, and in a thread."""
    service = await serve(METHODS)
    ada = await service.create()
    app = service.client.app
    assert app is not None
    accounts = app[LIFESPAN].runtime.connection.accounts
    await accounts.create("grace", PASSWORD)
    await accounts.set_roles("ada", ["admin"])
    granted = log.take()[-1]
    assert (short(granted), granted.details) == (("roles_set", "ada", "server", ""), {"roles": ["admin"]})
    assert (granted.address, granted.method, granted.transaction_id) == ("", "", "")

    call = {"method": "manage", "parameters": {"user_id": "eve"}}
    headers = {"x-toto-session-id": ada}
    rpc = {"jsonrpc": "2.0", "id": 1, "method": "manage", "params": {"user_id": "eve"}}
    done = [
        ("account_created", {}),
        ("password_set", {}),
        ("roles_set", {"roles": ["editor"]}),
        ("sessions_ended", {"count": 1}),
        ("account_deleted", {}),
    ]
    async with service.client.ws_connect("/service/websocket", headers=headers) as socket:
        for way in ("post", "batch", "rpc", "socket"):
            session = await logged_in(service, "grace")
            log.take()
            if way == "socket":
                await socket.send_json({"id": 1, **call})
                assert "error" not in await socket.receive_json(timeout=WATCHDOG)
            else:
                body: Any = {"post": call, "batch": {"batch": {"1": call}}, "rpc": rpc}[way]
                path = "/rpc" if way == "rpc" else ""
                text = await (await service.post(path, json=body, headers=headers)).text()
                assert "error" not in text, text
            entries = log.take()
            assert [(one.action, one.details) for one in entries] == done, way
            assert {(one.actor_kind, one.actor, one.method) for one in entries} == {("user", "ada", "manage")}
            assert {one.account for one in entries} == {"eve", "grace"}
            assert_readable(entries, ada, session)
    await service.result("thread", session=ada)
    assert [short(one) for one in log.take()] == [("roles_set", "ada", "user", "ada")]
    # The connection goes on, and what the service does by itself is nobody's call.
    await accounts.set_roles("ada", [])
    assert short(log.take()[0]) == ("roles_set", "ada", "server", "")


async def test_a_second_factor(serve: Serve, log: Log) -> None:
    """Both steps, recovery codes, an export and a deletion are entries, without code, ticket or secret."""
    store = MemoryStore()
    own = {"account.totp": totp, "account.delete": delete, "account.export": export}
    service = await serve(own, database=store, secret_key=[SECRET_KEY])
    ada = await service.create()
    log.take()
    app, recovery = await enrol(service, ada)
    steps = {"user_id": "ada", "password": PASSWORD}
    tickets = [(await service.call("account.login", steps))["error"]["ticket"] for _ in range(2)]
    for code in (app.wrong, recovery[0]):
        await service.call("account.totp.login", {"ticket": tickets[0], "code": code})
    await service.result("account.totp.recovery_codes", {"code": recovery[1]}, session=ada)
    await rewind(store)
    for code in (app.wrong, app.code()):
        await service.call("account.totp.disable", {"code": code}, session=ada)
    await service.result("account.export", session=ada)
    for password in ("a wrong one", PASSWORD):
        await service.call("account.delete", {"password": password}, session=ada)
    entries = log.take()
    assert [(one.action, one.actor, one.details) for one in entries] == [
        ("totp_enabled", "ada", {}),
        ("login_failed", "", {"reason": "wrong_credentials"}),
        ("recovery_code_used", "", {"left": 9}),
        ("login", "", {"how": "recovery_code"}),
        ("recovery_code_used", "ada", {"left": 8}),
        ("recovery_codes_renewed", "ada", {}),
        ("code_refused", "ada", {"reason": "wrong_credentials"}),
        ("totp_disabled", "ada", {}),
        ("account_exported", "ada", {}),
        ("password_refused", "ada", {"reason": "wrong_credentials"}),
        ("account_deleted", "ada", {}),
    ]
    assert {one.account for one in entries} == {"ada"}
    assert_readable(entries, ada, *recovery, *tickets, app.code(), app.wrong)


async def test_keys(serve: Serve, log: Log) -> None:
    """What is done with a key is told apart, and a key is in no line."""
    service = await serve(METHODS)
    ada = await service.create()
    assert service.client.app is not None
    await service.client.app[LIFESPAN].runtime.connection.accounts.set_roles("ada", ["admin"])
    log.take()
    made = await service.result("keys.create", {"name": "my key", "scopes": ["*"]}, session=ada)
    await service.call("thread", authorization=f"Bearer {made['key']}")
    for _ in range(2):
        await service.result("keys.revoke", {"handle": made["handle"]}, session=ada)
    entries = log.take()
    assert [(*short(one), one.details) for one in entries] == [
        ("key_created", "ada", "user", "ada", {"name": "my key", "scopes": ["*"]}),
        ("roles_set", "ada", "api_key", "ada", {"roles": ["admin"]}),
        ("key_revoked", "ada", "user", "ada", {"name": "my key"}),
    ]
    assert_readable(entries, made["key"])


async def test_pages(aiohttp_client: Any, log: Log) -> None:
    """A page of the application around has its path for a method, and its user, until it is done."""
    service = create_app(database="memory://", method_module=METHODS, use_cookies=True, secure_cookies=False)
    application = web.Application()
    middleware.setup(application, service)

    async def page(request: web.Request) -> web.Response:
        accounts = request.app[middleware.CONNECTION].accounts
        if request.method == "POST":
            if await accounts.get("ada") is None:
                await accounts.create("ada", PASSWORD)
            try:
                await middleware.log_in_with_password(request, "ada", (await request.post())["password"])
            except InvalidCredentials:
                return web.Response(status=403)
        elif "out" in request.query:
            await middleware.log_out(request)
        else:
            session = await middleware.require(request)
            await accounts.set_roles(session.user_id, ["admin"])
        return web.Response()

    application.router.add_route("*", "/page/{name}", page)
    application.add_subapp("/api", service)
    client = await aiohttp_client(PlainServer(application))
    headers = {"origin": str(client.make_url("/")).rstrip("/")}
    for password in ("a wrong one", PASSWORD):
        response = await client.post("/page/a%0Ab", data={"password": password}, headers=headers)
    cookie = {"cookie": response.headers["set-cookie"].partition(";")[0]}
    await client.get("/page/1", headers=cookie)
    await client.get("/page/1?out", headers=cookie)
    entries = log.take()
    assert [(*short(one), one.method) for one in entries] == [
        ("account_created", "ada", "server", "", ""),
        ("login_failed", "ada", "nobody", "", "POST /page/{name}"),
        ("login", "ada", "nobody", "", "POST /page/{name}"),
        ("roles_set", "ada", "user", "ada", "GET /page/{name}"),
        ("logout", "ada", "user", "ada", "GET /page/{name}"),
    ]
    assert_readable(entries)
    await service[LIFESPAN].runtime.connection.accounts.set_roles("ada", [])
    assert short(log.take()[0])[2] == "server"


async def test_too_many_attempts(serve: Serve, log: Log) -> None:
    """An attempt that is refused before the password is looked at is an entry too."""
    service = await serve(login_attempts=1)
    ada = await service.create()
    for _ in range(2):
        await service.call("account.login", {"user_id": "ada", "password": "a wrong one"})
    for _ in range(2):
        change = {"password": "a wrong one", "new_password": NEW}
        await service.call("account.update", change, session=ada)
    assert [(one.action, one.account, one.details["reason"]) for one in log.take()[2:]] == [
        ("login_failed", "ada", "wrong_credentials"),
        ("login_failed", "", "too_many_attempts"),
        ("password_refused", "ada", "wrong_credentials"),
        ("password_refused", "ada", "too_many_attempts"),
    ]


async def test_an_administrator_who_leaves_in_the_same_batch(serve: Serve, log: Log) -> None:
    """What a call does is done by whom it was admitted as, though another one has logged in or out since."""
    gone_on = asyncio.Event()

    @roles("admin")
    async def remove(handler: Handler, parameters: dict[str, Any]) -> None:
        await gone_on.wait()
        await handler.accounts.delete(parameters["user_id"])

    async def go_on(handler: Handler, parameters: dict[str, Any]) -> None:
        gone_on.set()

    service = await serve({"remove": remove, "go_on": go_on}, batch_concurrency=2)
    sessions = {user_id: await service.create(user_id) for user_id in ("ada", "bob", "dan", "eve")}
    await service.client.app[LIFESPAN].runtime.connection.accounts.set_roles("ada", ["admin"])
    others = {
        "bob": ("account.login", {"user_id": "eve", "password": PASSWORD}),
        "dan": ("account.logout", {}),
    }
    for user_id, (method, parameters) in others.items():
        gone_on.clear()
        log.take()
        batch = {
            "1": {"method": "remove", "parameters": {"user_id": user_id}},
            "2": {"method": method, "parameters": parameters},
            "3": {"method": "go_on", "parameters": {}},
        }
        await service.post(json={"batch": batch}, headers={"x-toto-session-id": sessions["ada"]})
        [deleted] = [record for record in log.take() if record.action == "account_deleted"]
        assert (deleted.account, deleted.actor_kind, deleted.actor) == (user_id, "user", "ada"), method


async def test_a_database_that_fails(log: Log) -> None:
    """What may have happened is an entry that says so; what has certainly not happened is none."""

    class Failing(MemoryStore):
        fails = False

        async def replace_password(self, *args: Any) -> bool:
            done = await super().replace_password(*args)
            if self.fails:
                raise Unavailable
            return done

        async def remove_account(self, user_id: str) -> bool:
            raise RuntimeError

    store = Failing()
    async with open_service(database=store, method_module=METHODS) as service:
        await service.accounts.create("ada", PASSWORD)
        store.fails = True
        with pytest.raises(Unavailable):
            await service.accounts.set_password("ada", NEW)
        with pytest.raises(RuntimeError):
            await service.accounts.delete("ada")
        for user_id in ("eve", ""):
            with pytest.raises(InvalidUserID):
                await service.accounts.set_password(user_id, NEW)
        with pytest.raises(InvalidUserID):
            await service.accounts.set_roles("eve", ["admin"])
    assert [(one.action, one.account, one.details) for one in log.take()] == [
        ("account_created", "ada", {}),
        ("password_set", "ada", {"outcome": "unknown"}),
        ("account_deleted", "ada", {"outcome": "unknown"}),
    ]


async def test_lines(log: Log) -> None:
    """The text names only what is known, and escapes what is not printable; JSON has the same as fields."""
    audit = Audit()
    audit.record(Action.ROLES_SET, "a\n\u202eb", roles=["admin"])
    audit.record(Action.KEY_CREATED, "ada", name="my\nkey", scopes=["notes.*"])
    text, other = log.take()
    assert text.getMessage() == "roles_set of 'a\\n\\u202eb' by the service: roles=['admin']"
    assert other.getMessage() == "key_created of 'ada' by the service: name='my\\nkey', scopes=['notes.*']"
    line = json.loads(FORMATS["json"].format(other))
    assert (line["logger"], line["action"], line["account"]) == ("toto_aio.audit", "key_created", "ada")
    assert line["details"] == {"name": "my\nkey", "scopes": ["notes.*"]}


async def test_events(serve: Serve, log: Log) -> None:
    """With ``audit_event`` each entry is also an event, with an id, and nobody acts in its handlers."""
    heard: list[Any] = []
    found: list[str] = []

    async def hear(entry: Any) -> None:
        heard.append(entry)
        if entry["action"] == "account_created":
            await accounts.set_roles("ada", ["from_event"])

    service = await serve(METHODS, audit_event="audit")
    assert service.client.app is not None
    runtime = service.client.app[LIFESPAN].runtime
    accounts = runtime.connection.accounts
    runtime.needed_events().register_handler("audit", hear, persist=True)
    logging.getLogger("toto_aio.audit").setLevel(logging.WARNING)
    await service.create()
    await eventually(lambda: len(heard) == 3)
    for entry in heard:
        found.append(entry["action"])
        assert (entry["account"], len(entry["id"])) == ("ada", 16)
        assert entry["time"] > 1.7e9
    assert sorted(found) == ["account_created", "login", "roles_set"]
    assert next(one for one in heard if one["action"] == "roles_set")["actor_kind"] == "server"
    assert not log.take()


async def test_events_that_cannot_be_sent(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """They are a warning, and the action is done. A wrong name, or no events, stops the start."""
    service = await serve(METHODS, audit_event="audit")
    assert service.client.app is not None
    events = service.client.app[LIFESPAN].runtime.needed_events()

    async def fail(*args: Any, **kwargs: Any) -> None:
        raise Unavailable

    events._broker.publish = fail
    await service.create()
    await eventually(lambda: caplog.text.count("could not be sent as an event") == 2)
    for event, kind in (("audit", "off"), ("toto_aio.audit", "memory://")):
        with pytest.raises(SettingsError, match="audit_event: "):
            async with open_service(
                database="memory://", method_module=METHODS, audit_event=event, events=kind
            ):
                pass


async def test_nothing_is_made_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a logger that writes, and without an event, no entry is made."""
    monkeypatch.setattr("toto_aio.auth.audit._entry", None)
    logging.getLogger("toto_aio.audit").setLevel(logging.WARNING)
    try:
        async with open_service(database="memory://", method_module=METHODS) as service:
            await service.accounts.create("ada", PASSWORD)
    finally:
        logging.getLogger("toto_aio.audit").setLevel(logging.NOTSET)


def test_the_page() -> None:
    """docs/audit.md lists the actions with their meanings, and each is recorded somewhere."""
    table = (DOCS / "audit.md").read_text().partition("| action | what |\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE)
    assert rows == [(action.value, action.meaning) for action in Action]
    source = "\n".join(path.read_text() for path in (DOCS.parent / "src").rglob("*.py"))
    recorded = r"(?:record|recording|refusals|_set_password)\(\s*Action\.(\w+)"
    assert set(re.findall(recorded, source)) == set(Action.__members__)


async def test_refusals_of_others(log: Log) -> None:
    """A refusal that has no account is an entry without one, and other errors are none."""
    audit = Audit()
    for exc, entries in ((TooManyAttempts(), 1), (Unavailable(), 0), (asyncio.CancelledError(), 0)):
        with pytest.raises(type(exc)), audit.refusals(Action.LOGIN_FAILED):
            raise exc
        assert [one.account for one in log.take()] == [""] * entries
