"""The methods ``account.*`` over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bson
import pytest

from tests.support.limits import real_passwords
from tests.support.service import Serve, Service
from toto_aio import Handler
from toto_aio.codecs import CODECS
from toto_aio.invocation import anonymous_session, authenticated
from toto_aio.models import Account, Session
from toto_aio.stores.memory import MemoryStore

PASSWORD = "correct horse"
OTHER_PASSWORD = "battery staple"
NOT_AUTHORIZED = {"code": 1004, "value": "Not authorized"}
INVALID_CREDENTIALS = {"code": 1005, "value": "Invalid user ID or password"}
NOT_TEXT: dict[str, list[Any]] = {
    "application/json": [{"$gt": ""}, {}, 0, 1, 1.5, False, True, None, [], ["ada"]],
    "application/bson": [{"$gt": ""}, {}, 0, 1, 1.5, False, True, None, [], ["ada"], b"ada", bson.ObjectId()],
    "application/msgpack": [{"$gt": ""}, {}, 0, 1, 1.5, False, True, None, [], ["ada"], b"ada"],
}
"""Values that a client may send instead of a string, and a careless service might pass to its database."""


@authenticated
async def who(handler: Handler, parameters: dict[str, Any]) -> Any:
    """Return the session's user and the values of their account."""
    assert handler.session is not None
    account = await handler.session.get_account()
    return None if account is None else dict(account)


@anonymous_session
async def look(handler: Handler, parameters: dict[str, Any]) -> Any:
    """Return the session's user, who may be anonymous."""
    assert handler.session is not None
    return handler.session.user_id


METHODS = {"who": who, "look": look}


class Recorder(MemoryStore):
    """An in-memory store that records the arguments of its operations on accounts and sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Any]] = []

    async def get_account(self, user_id: str) -> Account | None:
        self.calls.append(("get_account", user_id))
        return await super().get_account(user_id)

    async def add_account(self, account: Account) -> None:
        self.calls.append(("add_account", account.user_id))
        await super().add_account(account)

    async def update_account(
        self, user_id: str, changes: Mapping[str, Any], *args: Any, **kwargs: Any
    ) -> bool:
        self.calls.append(("update_account", changes))
        return await super().update_account(user_id, changes, *args, **kwargs)

    async def add_session(self, session: Session) -> None:
        self.calls.append(("add_session", session.user_id))
        await super().add_session(session)

    async def get_session(self, key: str) -> Session | None:
        self.calls.append(("get_session", key))
        return await super().get_session(key)


async def call(service: Service, content_type: str, method: str, parameters: Any, session: str = "") -> Any:
    """The response to a call in one of the content types."""
    codec = CODECS[content_type]
    headers = {"content-type": content_type} | ({"x-toto-session-id": session} if session else {})
    body = codec.encode({"method": method, "parameters": parameters})
    response = await service.post(data=body, headers=headers)
    assert response.content_type == content_type
    return codec.decode(await response.read())


async def log_in(service: Service, user_id: str = "ada", password: str = PASSWORD) -> str:
    """The id of a new session of a user."""
    result = await service.result("account.login", {"user_id": user_id, "password": password})
    return str(result["session_id"])


async def error(service: Service, method: str, parameters: Any, session: str | None = None) -> Any:
    """The error of a call that must fail and must not create a session."""
    answer = await service.call(method, parameters, session=session)
    assert "result" not in answer
    if session is None:
        assert "session" not in answer
    return answer["error"]


# create


async def test_create(serve: Serve) -> None:
    """It creates an account under the lower-case id, logs in to it, and returns the session."""
    service = await serve(METHODS)
    answer = await service.call("account.create", {"user_id": "Ada", "password": PASSWORD})
    result = answer["result"]
    assert set(result) == {"session_id", "expires", "user_id"}
    assert result["user_id"] == "ada"
    assert answer == {"result": result, "session": result}
    assert await service.result("who", session=result["session_id"]) == {"user_id": "ada"}
    assert await log_in(service, "ADA") != result["session_id"]


async def test_expires_is_in_unix_seconds(serve: Serve) -> None:
    """It is when the session ends if it is not used: in 30 days, or after ``session_ttl``."""
    for options, life in (({}, 30 * 86400), ({"session_ttl": 600}, 600)):
        service = await serve(METHODS, **options)
        result = await service.result("account.create", {"user_id": "ada", "password": PASSWORD})
        assert 0 <= time.time() + life - result["expires"] < 10
        result = await service.result("account.login", {"user_id": "ada", "password": PASSWORD})
        assert 0 <= time.time() + life - result["expires"] < 10


async def test_create_an_account_that_exists(serve: Serve) -> None:
    """It is refused, however the id is written, and the account stays unchanged."""
    service = await serve(METHODS)
    await service.create("Ada")
    for user_id in ("ada", "ADA", "Ada"):
        parameters = {"user_id": user_id, "password": OTHER_PASSWORD}
        refused = await error(service, "account.create", parameters)
        assert refused == {"code": 1006, "value": "User ID already in use."}
        assert await error(service, "account.login", parameters) == INVALID_CREDENTIALS
    await log_in(service)


async def test_create_at_once(serve: Serve) -> None:
    """Of several calls for the same id one gets it, and can log in with the password that it gave."""
    service = await serve(METHODS)
    passwords = [f"password {n}" for n in range(4)]
    answers = await asyncio.gather(
        *(service.call("account.create", {"user_id": "ada", "password": password}) for password in passwords)
    )
    made = [password for password, answer in zip(passwords, answers, strict=True) if "result" in answer]
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [1006] * 3
    assert len(made) == 1
    await log_in(service, "ada", made[0])


@pytest.mark.parametrize("method", ["account.create", "account.login"])
@pytest.mark.parametrize(
    ("parameters", "missing"),
    [({}, "user_id, password"), ({"user_id": "ada"}, "password"), ({"password": PASSWORD}, "user_id")],
)
async def test_missing_parameters(
    serve: Serve, method: str, parameters: dict[str, Any], missing: str
) -> None:
    """The error names them."""
    service = await serve()
    expected = {"code": 1003, "value": f"Missing parameters: {missing}"}
    assert await error(service, method, parameters) == expected


@pytest.mark.parametrize("user_id", ["", "a\nb", "\x00", "\u200b \u2800", "\ufffeada"], ids=ascii)
async def test_user_ids_that_no_account_can_have(serve: Serve, user_id: str) -> None:
    """They are refused when an account is created, and are merely unknown at a login."""
    service = await serve()
    parameters = {"user_id": user_id, "password": PASSWORD}
    assert await error(service, "account.create", parameters) == {"code": 1010, "value": "Invalid user ID."}
    assert await error(service, "account.login", parameters) == INVALID_CREDENTIALS


async def test_the_characters_of_other_keyboards(serve: Serve) -> None:
    """Whichever characters a system sends for a user id and a password, they are the same ones."""
    service = await serve(METHODS)
    composed, decomposed = "p\u00e4ssw\u00f6rd \u00e9", "pa\u0308sswo\u0308rd\u00a0e\u0301"
    created = await service.result("account.create", {"user_id": "Jose\u0301", "password": decomposed})
    assert created["user_id"] == "jos\u00e9"
    for user_id, password in (("jos\u00e9", composed), ("JOS\u00c9 ", decomposed)):
        session = await service.result("account.login", {"user_id": user_id, "password": password})
        assert session["user_id"] == "jos\u00e9"
        assert await error(service, "account.create", {"user_id": user_id, "password": password}) == {
            "code": 1006,
            "value": "User ID already in use.",
        }
    change = {"user_id": "jose\u0301", "password": composed, "new_password": f"{decomposed} 2"}
    changed = await service.call("account.update", change, session=session["session_id"])
    assert changed["result"]["updated_fields"] == ["password"]
    await service.result("account.login", {"user_id": "jos\u00e9", "password": f"{composed} 2"})


@pytest.mark.parametrize("method", ["account.create", "account.login"])
async def test_user_ids_that_are_too_long(serve: Serve, method: str) -> None:
    """More than 255 bytes are refused."""
    service = await serve()
    for user_id in ("a" * 256, "é" * 128, "a" * 500_000):
        refused = await error(service, method, {"user_id": user_id, "password": PASSWORD})
        assert refused["code"] == 1003
        assert len(refused["value"]) < 200
    await service.create("a" * 255)
    await service.create("é" * 127)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025, "é" * 513])
async def test_create_with_a_password_of_the_wrong_length(serve: Serve, password: str) -> None:
    """It is refused, and no account is created."""
    store = Recorder()
    service = await serve(database=store)
    refused = await error(service, "account.create", {"user_id": "ada", "password": password})
    assert refused == {"code": 1003, "value": "A password must have 8 to 1024 bytes."}
    assert store.calls == []


async def test_another_shortest_password(serve: Serve) -> None:
    """``password_min_length`` sets the minimum length."""
    service = await serve(password_min_length=4)
    await service.create("ada", "1234")
    refused = await error(service, "account.create", {"user_id": "eve", "password": "123"})
    assert refused == {"code": 1003, "value": "A password must have 4 to 1024 bytes."}


# What is not a string


@pytest.mark.parametrize("name", ["user_id", "password"])
@pytest.mark.parametrize("method", ["account.create", "account.login"])
@pytest.mark.parametrize("content_type", NOT_TEXT)
async def test_what_is_no_string(serve: Serve, content_type: str, method: str, name: str) -> None:
    """Operators, numbers, bytes or null neither reach a database nor create a session or an account."""
    store = Recorder()
    service = await serve(METHODS, database=store)
    await service.create("ada")
    store.calls.clear()
    for value in NOT_TEXT[content_type]:
        parameters = {"user_id": "ada" if method == "account.login" else "eve", "password": PASSWORD}
        answer = await call(service, content_type, method, {**parameters, name: value})
        assert answer == {"error": {"code": 1003, "value": f"{name} must be a string."}}
    assert store.calls == []


async def test_null_makes_no_account_without_a_password(serve: Serve) -> None:
    """Only methods can create an account that nobody can log in to; the id stays free."""
    service = await serve()
    refused = await error(service, "account.create", {"user_id": "ada", "password": None})
    assert refused["code"] == 1003
    await service.create("ada")


async def test_null_makes_no_anonymous_session(serve: Serve) -> None:
    """A login without a user is not a login, whatever is sent as the password."""
    store = Recorder()
    service = await serve(METHODS, database=store)
    passwords: list[Any] = [None, "", PASSWORD, {}]
    for password in passwords:
        refused = await error(service, "account.login", {"user_id": None, "password": password})
        assert refused["code"] == 1003
    assert store.calls == []


@pytest.mark.parametrize("name", ["user_id", "password", "new_password"])
@pytest.mark.parametrize("content_type", NOT_TEXT)
async def test_an_update_with_what_is_no_string(serve: Serve, content_type: str, name: str) -> None:
    """It is refused, and neither changes the account nor ends the session."""
    store = Recorder()
    service = await serve(METHODS, database=store)
    session = await service.create("ada")
    before = await store.get_account("ada")
    store.calls.clear()
    for value in NOT_TEXT[content_type]:
        parameters = {"password": PASSWORD, "new_password": OTHER_PASSWORD, name: value}
        answer = await call(service, content_type, "account.update", parameters, session)
        assert answer["error"] == {"code": 1003, "value": f"{name} must be a string."}
        assert answer["session"]["session_id"] == session
    assert {operation for operation, _ in store.calls} <= {"get_session", "get_account"}
    assert {user_id for operation, user_id in store.calls if operation == "get_account"} <= {"ada"}
    assert await store.get_account("ada") == before


# login


async def test_login(serve: Serve) -> None:
    """Every login returns a new session; the earlier ones stay valid."""
    service = await serve(METHODS)
    first = await service.create("ada")
    answer = await service.call("account.login", {"user_id": "ADA", "password": PASSWORD})
    result = answer["result"]
    assert set(result) == {"session_id", "expires", "user_id"}
    assert result["user_id"] == "ada"
    assert answer == {"result": result, "session": result}
    assert result["session_id"] != first
    for session in (first, result["session_id"]):
        assert await service.result("who", session=session) == {"user_id": "ada"}


async def test_the_store_does_not_know_the_id(serve: Serve) -> None:
    """The id that a client holds is stored nowhere."""
    store = MemoryStore()
    service = await serve(METHODS, database=store)
    session = await service.create("ada")
    [record] = await store.list_sessions("ada")
    assert session not in repr(record)
    assert await error(service, "who", {}, record.key) == NOT_AUTHORIZED


@pytest.mark.parametrize("chosen", ["chosen", "x" * 43, "", "\u00e9", "a" * 5000])
async def test_no_client_chooses_an_id(serve: Serve, chosen: str) -> None:
    """An id that a client chose is not taken over by a login, nor by an anonymous session."""
    service = await serve(METHODS)
    await service.create("ada")
    parameters = {"user_id": "ada", "password": PASSWORD}
    for answer in (
        await service.call("account.login", parameters, session=chosen),
        await service.call("account.create", {**parameters, "user_id": "eve"}, session=chosen),
        await service.call("account.login", {**parameters, "session_id": chosen}),
        await service.call("look", session=chosen),
    ):
        assert "result" in answer
        assert answer["session"]["session_id"] != chosen
    assert await error(service, "who", {}, chosen) == NOT_AUTHORIZED


async def test_a_login_leaves_the_anonymous_session(serve: Serve) -> None:
    """A login gives a new id, and the earlier anonymous id is not logged in."""
    service = await serve(METHODS)
    await service.create("ada")
    answer = await service.call("look")
    anonymous = answer["session"]["session_id"]
    assert (answer["result"], answer["session"]["user_id"]) == ("", "")
    answer = await service.call("account.login", {"user_id": "ada", "password": PASSWORD}, session=anonymous)
    assert answer["session"]["session_id"] != anonymous
    assert await error(service, "who", {}, anonymous) == NOT_AUTHORIZED


@pytest.mark.parametrize(
    ("user_id", "password"),
    [
        ("ada", "wrong password"),
        ("ada", ""),
        ("ada", "x"),
        ("ada", "x" * 1025),
        ("ada", PASSWORD + "x" * 500_000),
        ("ada", PASSWORD.upper()),
        ("eve", PASSWORD),
        ("", PASSWORD),
        ("ada x", PASSWORD),
        ("%", PASSWORD),
        ("' OR ''='", "' OR ''='"),
    ],
    ids=range(11),
)
async def test_a_wrong_login(serve: Serve, user_id: str, password: str) -> None:
    """Nothing reveals which of the two is wrong, or whether the user exists."""
    service = await serve(METHODS)
    await service.create("ada")
    parameters = {"user_id": user_id, "password": password}
    assert await error(service, "account.login", parameters) == INVALID_CREDENTIALS


async def test_an_account_of_totos(serve: Serve) -> None:
    """It logs in with its old password, and its hash is a new one afterwards."""
    store = MemoryStore()
    await store.add_account(Account("ada", "$p5k2$$exec$r1EWMCMk7Rlv3L/RNcFXviDefYa0hlql", {"name": "Ada"}))
    with real_passwords():
        service = await serve(METHODS, database=store)
    session = await log_in(service, "ada", "cloadm")
    assert await service.result("who", session=session) == {"user_id": "ada", "name": "Ada"}
    account = await store.get_account("ada")
    assert account is not None
    assert account.password is not None
    assert account.password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_sessions_survive_a_restart(serve: Serve, tmp_path: Path) -> None:
    """Another server on the same database knows the session, its account and its end."""
    database = f"sqlite:///{tmp_path}/toto.db"
    first, second = await serve(METHODS, database=database), await serve(METHODS, database=database)
    session = await first.create("ada")
    await first.client.close()
    assert await second.result("who", session=session) == {"user_id": "ada"}
    await second.result("account.logout", session=session)
    third = await serve(METHODS, database=database)
    assert await error(third, "who", {}, session) == NOT_AUTHORIZED


@pytest.mark.parametrize("get_methods", ["safe", "all"])
async def test_accounts_are_not_reached_by_get(serve: Serve, get_methods: str) -> None:
    """A password in a URL ends up in logs; no setting allows it."""
    store = Recorder()
    service = await serve(database=store, get_methods=get_methods)
    for name in ("create", "login", "logout", "update"):
        query = {"user_id": "ada", "password": PASSWORD}
        response = await service.client.get(f"/service/account/{name}", params=query)
        assert response.status == 405
        assert (await response.json())["error"]["code"] == 1001
    assert store.calls == []


# logout


async def test_logout(serve: Serve) -> None:
    """It ends the session in the store, and no other; the response has no session."""
    store = MemoryStore()
    service = await serve(METHODS, database=store)
    session = await service.create("ada")
    other = await log_in(service)
    answer = await service.call("account.logout", session=session)
    assert answer == {"result": {"authenticated": False}}
    assert len(await store.list_sessions("ada")) == 1
    assert await error(service, "who", {}, session) == NOT_AUTHORIZED
    assert await service.result("who", session=other) == {"user_id": "ada"}


@pytest.mark.parametrize("session", [None, "unknown", "x" * 5000])
async def test_logout_of_nobody(serve: Serve, session: str | None) -> None:
    """It is not an error."""
    service = await serve(METHODS)
    assert await service.call("account.logout", session=session) == {"result": {"authenticated": False}}


async def test_logout_twice(serve: Serve) -> None:
    """A second logout finds nothing to do."""
    service = await serve(METHODS)
    session = await service.create("ada")
    for _ in range(2):
        assert await service.call("account.logout", session=session) == {"result": {"authenticated": False}}


async def test_logout_of_an_anonymous_session(serve: Serve) -> None:
    """It ends too, and no other session does."""
    store = MemoryStore()
    service = await serve(METHODS, database=store)
    one, two = (await service.call("look"))["session"], (await service.call("look"))["session"]
    await service.result("account.logout", session=one["session_id"])
    assert len(await store.list_sessions("")) == 1
    assert (await service.call("look", session=two["session_id"]))["session"] == two
    again = await service.call("look", session=one["session_id"])
    assert again["session"]["session_id"] not in (one["session_id"], two["session_id"])


@pytest.mark.parametrize("session", ["", "unknown", "x" * 256, "x" * 257, "x" * 5000, "{'$gt': ''}"], ids=len)
async def test_unknown_sessions(serve: Serve, session: str) -> None:
    """They are not authorized, whatever they look like."""
    service = await serve(METHODS)
    await service.create("ada")
    assert await error(service, "who", {}, session) == NOT_AUTHORIZED
    assert await error(service, "account.update", {}, session) == NOT_AUTHORIZED


async def test_an_expired_session(serve: Serve) -> None:
    """It is not authorized."""
    store = MemoryStore()
    service = await serve(METHODS, database=store)
    session = await service.create("ada")
    [record] = await store.list_sessions("ada")
    await store.touch_session(record.key, time.time() - 1, time.time())
    assert await error(service, "who", {}, session) == NOT_AUTHORIZED


# Custom fields


async def test_no_extra_values_by_default(serve: Serve) -> None:
    """Fields that the operator did not allow are named and refused, and no account is created."""
    store = Recorder()
    service = await serve(METHODS, database=store)
    parameters = {"user_id": "ada", "password": PASSWORD, "role": "admin", "name": "Ada"}
    refused = await error(service, "account.create", parameters)
    assert refused == {"code": 1003, "value": "Unknown account fields: name, role"}
    assert store.calls == []
    session = await service.create("ada")
    refused = await error(service, "account.update", {"role": "admin"}, session)
    assert refused == {"code": 1003, "value": "Unknown account fields: role"}
    assert await service.result("who", session=session) == {"user_id": "ada"}


@pytest.mark.parametrize("database", ["memory", "sqlite"])
async def test_extra_values(serve: Serve, tmp_path: Path, database: str) -> None:
    """Those in ``account_fields`` are stored with the account, when it is created and when it is changed."""
    url = "memory://" if database == "memory" else f"sqlite:///{tmp_path}/toto.db"
    service = await serve(METHODS, account_fields=["name", "address", "self"], database=url)
    parameters = {"user_id": "ada", "password": PASSWORD, "name": "grüße 🦊", "self": [1, None, {"$gt": ""}]}
    session = (await service.result("account.create", parameters))["session_id"]
    expected = {"user_id": "ada", "name": "grüße 🦊", "self": [1, None, {"$gt": ""}]}
    assert await service.result("who", session=session) == expected
    changes = {"name": None, "address": {"lines": ["a", "b"]}}
    result = await service.result("account.update", changes, session=session)
    assert sorted(result.pop("updated_fields")) == ["address", "name"]
    assert result == {}
    assert await service.result("who", session=session) == {**expected, **changes}
    await log_in(service)


async def test_one_unknown_value_refuses_all(serve: Serve) -> None:
    """If some of a call is not allowed, nothing of it takes effect, not even the password."""
    store = Recorder()
    service = await serve(METHODS, account_fields=["name"], database=store)
    parameters = {"user_id": "ada", "password": PASSWORD, "name": "Ada", "role": "admin"}
    refused = await error(service, "account.create", parameters)
    assert refused == {"code": 1003, "value": "Unknown account fields: role"}
    assert store.calls == []
    session = await service.create("ada")
    before = await store.get_account("ada")
    changes = {"password": PASSWORD, "new_password": OTHER_PASSWORD, "name": "Ada", "role": "admin"}
    assert (await error(service, "account.update", changes, session))["code"] == 1003
    assert await store.get_account("ada") == before
    assert await service.result("who", session=session) == {"user_id": "ada"}


@pytest.mark.parametrize("database", ["memory", "sqlite"])
async def test_values_in_bson(serve: Serve, tmp_path: Path, database: str) -> None:
    """Every plain value of a BSON client is kept, including its long integers."""
    url = "memory://" if database == "memory" else f"sqlite:///{tmp_path}/toto.db"
    service = await serve(METHODS, account_fields=["value"], database=url)
    values = [1, True, 1.5, "é", None, 2**40, -(2**63), [bson.Int64(5)], {"a": {"b": bson.Int64(2**63 - 1)}}]
    for n, value in enumerate(values):
        parameters = {"user_id": f"user {n}", "password": PASSWORD, "value": value}
        answer = await call(service, "application/bson", "account.create", parameters)
        assert "error" not in answer, (value, answer)
        session = answer["session"]["session_id"]
        seen = await call(service, "application/bson", "who", {}, session)
        assert seen["result"] == {"user_id": f"user {n}", "value": value}
        answer = await call(service, "application/bson", "account.update", {"value": value}, session)
        assert answer["result"] == {"updated_fields": ["value"]}


@pytest.mark.parametrize("database", ["memory", "sqlite"])
async def test_values_that_only_bson_has(serve: Serve, tmp_path: Path, database: str, errors: Any) -> None:
    """They are stored as plain values or refused: no internal error, and the service can read them."""
    url = "memory://" if database == "memory" else f"sqlite:///{tmp_path}/toto.db"
    service = await serve(METHODS, account_fields=["value"], database=url)
    session = await service.create("ada")
    for value in (bson.ObjectId(), bson.Decimal128("1.5"), b"bytes", bson.Timestamp(1, 2)):
        answer = await call(service, "application/bson", "account.update", {"value": value}, session)
        assert answer.get("error", {"code": 1003})["code"] == 1003, answer
        assert "error" not in await service.call("who", session=session)
    assert errors() == []


# update


async def test_update_needs_a_login(serve: Serve) -> None:
    """Without a login nobody may change an account, not even with its password."""
    service = await serve(METHODS, account_fields=["name"])
    await service.create("ada")
    anonymous = (await service.call("look"))["session"]["session_id"]
    parameters = {"user_id": "ada", "password": PASSWORD, "new_password": OTHER_PASSWORD, "name": "Eve"}
    for session in (None, anonymous):
        assert await error(service, "account.update", parameters, session) == NOT_AUTHORIZED
    await log_in(service)


async def test_update_touches_the_callers_account_alone(serve: Serve) -> None:
    """Another's id is refused, even with their password; the caller's own is merely redundant."""
    service = await serve(METHODS, account_fields=["name"])
    ada, eve = await service.create("ada"), await service.create("eve", OTHER_PASSWORD)
    for parameters in (
        {"user_id": "ada", "name": "Eve was here"},
        {"user_id": "ADA", "name": "Eve was here"},
        {"user_id": "ada", "password": PASSWORD, "new_password": OTHER_PASSWORD},
        {"user_id": "nobody", "name": "Eve was here"},
        {"user_id": "", "name": "Eve was here"},
    ):
        assert await error(service, "account.update", parameters, eve) == NOT_AUTHORIZED
    result = await service.result("account.update", {"user_id": "EVE", "name": "Eve"}, session=eve)
    assert result == {"updated_fields": ["name"]}
    assert await service.result("who", session=eve) == {"user_id": "eve", "name": "Eve"}
    assert await service.result("who", session=ada) == {"user_id": "ada"}
    await log_in(service, "ada")
    await log_in(service, "eve", OTHER_PASSWORD)


async def test_update_of_values_keeps_the_session(serve: Serve) -> None:
    """Only a new password ends sessions."""
    service = await serve(METHODS, account_fields=["name"])
    session = await service.create("ada")
    other = await log_in(service)
    answer = await service.call("account.update", {"name": "Ada"}, session=session)
    assert answer["result"] == {"updated_fields": ["name"]}
    assert answer["session"]["session_id"] == session
    for one in (session, other):
        assert await service.result("who", session=one) == {"user_id": "ada", "name": "Ada"}


async def test_updates_at_once_keep_each_other(serve: Serve, tmp_path: Path) -> None:
    """Several values that are set concurrently are all stored afterwards."""
    names = [f"v{n}" for n in range(8)]
    service = await serve(METHODS, account_fields=names, database=f"sqlite:///{tmp_path}/toto.db")
    session = await service.create("ada")
    await asyncio.gather(*(service.result("account.update", {name: 1}, session=session) for name in names))
    expected = {"user_id": "ada", **dict.fromkeys(names, 1)}
    assert await service.result("who", session=session) == expected


async def test_update_of_nothing(serve: Serve) -> None:
    """It changes nothing, and says so; the current password by itself is not a change."""
    service = await serve(METHODS)
    session = await service.create("ada")
    assert await service.result("account.update", {}, session=session) == {"updated_fields": []}
    parameters = {"password": "anything", "user_id": "ada"}
    assert await service.result("account.update", parameters, session=session) == {"updated_fields": []}
    await log_in(service)


async def test_a_password_change(serve: Serve) -> None:
    """It gives a new id and ends all other sessions of the user, also the one it came by; others' stay."""
    store = MemoryStore()
    service = await serve(METHODS, database=store)
    session = await service.create("ada")
    others = [await log_in(service) for _ in range(3)]
    eve = await service.create("eve")
    anonymous = (await service.call("look"))["session"]["session_id"]
    parameters = {"password": PASSWORD, "new_password": OTHER_PASSWORD}
    answer = await service.call("account.update", parameters, session=session)
    result = answer["result"]
    assert set(result) == {"updated_fields", "session_id", "expires", "user_id"}
    assert (result["updated_fields"], result["user_id"]) == (["password"], "ada")
    assert answer["session"] == {name: result[name] for name in ("session_id", "expires", "user_id")}
    assert result["session_id"] not in (session, *others)
    assert 0 <= time.time() + 30 * 86400 - result["expires"] < 10
    for ended in (session, *others):
        assert await error(service, "who", {}, ended) == NOT_AUTHORIZED
    assert len(await store.list_sessions("ada")) == 1
    assert await service.result("who", session=result["session_id"]) == {"user_id": "ada"}
    assert await service.result("who", session=eve) == {"user_id": "eve"}
    assert (await service.call("look", session=anonymous))["session"]["session_id"] == anonymous


async def test_the_password_after_a_change(serve: Serve) -> None:
    """The new one is right and the old one wrong, only for this user."""
    service = await serve(METHODS)
    session = await service.create("ada")
    await service.create("eve")
    await service.result(
        "account.update", {"password": PASSWORD, "new_password": OTHER_PASSWORD}, session=session
    )
    refused = await error(service, "account.login", {"user_id": "ada", "password": PASSWORD})
    assert refused == INVALID_CREDENTIALS
    await log_in(service, "ada", OTHER_PASSWORD)
    await log_in(service, "eve", PASSWORD)


async def test_a_password_and_values_together(serve: Serve) -> None:
    """Both are changed, and both are named."""
    service = await serve(METHODS, account_fields=["name"])
    session = await service.create("ada")
    parameters = {"password": PASSWORD, "new_password": OTHER_PASSWORD, "name": "Ada"}
    result = await service.result("account.update", parameters, session=session)
    assert result["updated_fields"] == ["password", "name"]
    assert await service.result("who", session=result["session_id"]) == {"user_id": "ada", "name": "Ada"}
    await log_in(service, "ada", OTHER_PASSWORD)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"password": "wrong", "new_password": OTHER_PASSWORD}, INVALID_CREDENTIALS),
        ({"password": "", "new_password": OTHER_PASSWORD}, INVALID_CREDENTIALS),
        ({"new_password": OTHER_PASSWORD}, {"code": 1003, "value": "Missing parameters: password"}),
        (
            {"password": PASSWORD, "new_password": "short"},
            {"code": 1003, "value": "A password must have 8 to 1024 bytes."},
        ),
        (
            {"password": PASSWORD, "new_password": "x" * 1025},
            {"code": 1003, "value": "A password must have 8 to 1024 bytes."},
        ),
        (
            {"password": PASSWORD, "new_password": ""},
            {"code": 1003, "value": "A password must have 8 to 1024 bytes."},
        ),
    ],
    ids=["wrong", "empty", "missing", "short", "long", "none"],
)
async def test_a_password_change_that_fails(serve: Serve, parameters: Any, expected: Any) -> None:
    """Nothing changes: neither the password nor the other values, and no session ends or is created."""
    store = MemoryStore()
    service = await serve(METHODS, account_fields=["name"], database=store)
    session = await service.create("ada")
    other = await log_in(service)
    before = await store.get_account("ada")
    answer = await service.call("account.update", {**parameters, "name": "Eve"}, session=session)
    assert answer["error"] == expected
    assert answer["session"]["session_id"] == session
    assert await store.get_account("ada") == before
    assert len(await store.list_sessions("ada")) == 2
    for one in (session, other):
        assert await service.result("who", session=one) == {"user_id": "ada"}


async def test_an_anonymous_session_has_no_user(serve: Serve) -> None:
    """Its ``user_id`` is the empty string, and it is not a login."""
    service = await serve(METHODS)
    answer = await service.call("look")
    assert answer["result"] == ""
    assert answer["session"]["user_id"] == ""
    assert 0 <= time.time() + 86400 - answer["session"]["expires"] < 10
    session = answer["session"]["session_id"]
    assert (await service.call("look", session=session))["session"]["session_id"] == session
    assert await error(service, "who", {}, session) == NOT_AUTHORIZED
