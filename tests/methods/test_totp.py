"""The methods ``account.totp.*``: enrolment, logins in two steps, recovery codes and remembered devices."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from typing import Any

import bson
import msgspec
import pytest
from msgspec.structs import replace

import toto_aio.methods.account.totp
from tests.support.authenticator import SECRET_KEY, App, code_of, enrol, rewind
from tests.support.service import Serve, Service
from toto_aio import Handler
from toto_aio.auth import confirmation, devices, login_tickets
from toto_aio.client import Client
from toto_aio.exceptions import InvalidCredentials, NotAuthorized, SecondFactorRequired, TooManyAttempts
from toto_aio.invocation import authenticated
from toto_aio.models import Session
from toto_aio.settings import SettingsError
from toto_aio.stores.memory import MemoryStore

PASSWORD = "correct horse"
ADA = {"user_id": "ada", "password": PASSWORD}
Parameters = dict[str, Any]


@authenticated
async def who(handler: Handler, parameters: Parameters) -> str:
    """Return the caller's user id."""
    assert handler.session is not None
    return handler.session.user_id


async def enter(handler: Handler, parameters: Parameters) -> str:
    """Log in without a password, after a check of its own."""
    session = await handler.create_session("ada", verify_password=False, **parameters)
    return session.user_id


async def manage(handler: Handler, parameters: Parameters) -> None:
    """Set a password, as an administrator does."""
    await handler.accounts.set_password("ada", parameters["password"])


METHODS = {"account.totp": toto_aio.methods.account.totp, "who": who, "enter": enter, "manage": manage}


async def serve_ada(serve: Serve, **options: Any) -> tuple[Service, MemoryStore, str, App, list[str]]:
    """A service, its store, a session of ada's, whose second factor is on, her app and her recovery codes."""
    store = MemoryStore()
    service = await serve(METHODS, database=store, secret_key=[SECRET_KEY], **options)
    session = await service.create()
    app, codes = await enrol(service, session)
    await rewind(store)
    return service, store, session, app, codes


async def ticket_of(service: Service, **more: Any) -> str:
    """The ticket of a first step."""
    answer = await service.call("account.login", {**ADA, **more})
    assert code_of(answer) == 1017, answer
    assert "session" not in answer
    return str(answer["error"]["ticket"])


async def finish(service: Service, ticket: str, code: str, **more: Any) -> Any:
    """The response of the second step."""
    return await service.call("account.totp.login", {"ticket": ticket, "code": code, **more})


async def test_a_login_in_two_steps(serve: Serve) -> None:
    """The password gives a ticket, and ticket and code give a session, once."""
    service, store, session, app, _ = await serve_ada(serve, error_status="http")
    assert await service.result("account.totp.status", session=session) == {
        "enabled": True,
        "since": pytest.approx(time.time(), abs=100),
        "recovery_codes": 10,
    }
    response = await service.post("/account/login", json=ADA)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    error = (await response.json())["error"]
    assert {**error, "ticket": ""} == {"code": 1017, "value": "Second factor required", "ticket": ""}
    code = app.code()
    answer = await finish(service, error["ticket"], f" {code[:3]} {code[3:]} ")
    assert answer["result"] == answer["session"]
    assert await service.result("who", session=answer["result"]["session_id"]) == "ada"
    assert code_of(await finish(service, error["ticket"], app.code(1))) == 1004  # the ticket is spent
    assert code_of(await finish(service, await ticket_of(service), code)) == 1005  # and so is the code
    number = {"ticket": await ticket_of(service), "code": int(app.code(1))}
    assert "result" in await service.call("account.totp.login", number)
    long = {"ticket": await ticket_of(service), "code": bson.Int64(int(app.wrong))}
    call = bson.encode({"method": "account.totp.login", "parameters": long})
    response = await service.post(data=call, headers={"content-type": "application/bson"})
    assert code_of(bson.decode(await response.read())) == 1005
    wrong = await service.call("account.login", {**ADA, "password": "wrong horse"})
    assert code_of(wrong) == 1005
    assert "ticket" not in wrong["error"]
    assert await service.result("who", session=session) == "ada"
    [record] = await store.list_records("ada", "totp")
    assert app.secret not in record.value


async def test_what_is_no_ticket_and_no_code(serve: Serve) -> None:
    """Other text is refused, and what is not text is wrong; nothing of it gives a session."""
    service, store, _, app, codes = await serve_ada(serve)
    ticket = await ticket_of(service)
    for wrong in ("", "x", ticket[:-1], f"{ticket}x", "x" * 5000, "\u00e9"):
        assert code_of(await finish(service, wrong, app.code())) == 1004, wrong
    not_text: list[Any] = [None, -1, 1000000, 1.5, True, [], {}, "\ud800"]
    for wrong in not_text:
        for parameters in ({"ticket": ticket, "code": wrong}, {"ticket": wrong, "code": "x"}):
            assert code_of(await service.call("account.totp.login", parameters)) == 1003, wrong
    for method in ("enrol", "confirm", "disable", "status", "recovery_codes", "devices", "forget"):
        assert code_of(await service.call(f"account.totp.{method}", {"code": "1"})) == 1004, method
    got = await service.client.get(f"/service/account/totp/login?ticket={ticket}&code={app.code()}")
    assert got.status == 405
    for code in ("", "12345", "x" * 5000, "\u0661\u0662\u0663\u0664\u0665\u0666", codes[0][:-1]):
        assert code_of(await finish(service, ticket, code)) == 1005, code
    assert len(await store.list_sessions("ada")) == 1


async def test_a_code_counts_once(serve: Serve) -> None:
    """Of many uses of a step, of a recovery code and of a ticket at the same time, one gives a session."""
    service, store, _, app, codes = await serve_ada(serve, login_attempts=1000)
    for code in (app.code(), codes[0]):
        tickets = [await ticket_of(service) for _ in range(5)]
        answers = await asyncio.gather(*(finish(service, ticket, code) for ticket in tickets))
        assert sorted(code_of(answer) or 0 for answer in answers) == [0, 1005, 1005, 1005, 1005]
        await _forget_attempts(store)
    await rewind(store)
    ticket = await ticket_of(service)
    right = [app.code(), app.code(1), codes[1], codes[2]]
    answers = await asyncio.gather(*(finish(service, ticket, code) for code in right))
    assert sorted(code_of(answer) or 0 for answer in answers) in (
        [0, 1004, 1004, 1004],
        [0, 1004, 1004, 1005],
    )


async def _forget_attempts(store: MemoryStore) -> None:
    store._counters.clear()


async def test_recovery_codes(serve: Serve) -> None:
    """Each of ten counts once, in whatever way it is typed; new ones replace them."""
    service, store, session, app, codes = await serve_ada(serve)
    assert len({*codes}) == 10
    typed = [codes[0], codes[1].upper(), codes[2].replace("-", ""), f" {codes[3].replace('-', ' ')} "]
    for code in typed:
        assert "result" in await finish(service, await ticket_of(service), code), code
    assert code_of(await finish(service, await ticket_of(service), codes[0])) == 1005
    assert (await service.result("account.totp.status", session=session))["recovery_codes"] == 6
    made = await service.call("account.totp.recovery_codes", {"code": app.code()}, session=session)
    fresh = made["result"]["recovery_codes"]
    assert len(fresh) == 10
    assert not {*fresh} & {*codes}
    assert code_of(await finish(service, await ticket_of(service), codes[5])) == 1005
    assert "result" in await finish(service, await ticket_of(service), fresh[0])
    [record] = await store.list_records("ada", "totp")
    assert not any(code.encode() in record.value for code in fresh)


async def test_enrolment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs the password or a new login, counts after its confirmation, and only then asks for codes."""
    store = MemoryStore()
    service = await serve(METHODS, database=store, secret_key=[SECRET_KEY], totp_issuer="Notes")
    session = await service.create()
    assert code_of(await service.call("account.totp.confirm", {"code": "123456"}, session=session)) == 1003
    made = await service.result("account.totp.enrol", session=session)
    assert made["uri"].startswith(f"otpauth://totp/Notes:ada?secret={made['secret']}&issuer=Notes")
    app = App(made["uri"])
    assert "result" in await service.call("account.login", ADA)
    assert code_of(await service.call("account.totp.confirm", {"code": app.wrong}, session=session)) == 1005
    monkeypatch.setattr(confirmation, "FRESH", 0.0)
    for parameters, expected in (({}, 1004), ({"password": "wrong"}, 1005), ({"password": 1}, 1003)):
        answer = await service.call("account.totp.enrol", parameters, session=session)
        assert code_of(answer) == expected, parameters
    again = App((await service.result("account.totp.enrol", {"password": PASSWORD}, session=session))["uri"])
    assert code_of(await service.call("account.totp.confirm", {"code": app.code()}, session=session)) == 1005
    code = again.code()
    confirms = (service.call("account.totp.confirm", {"code": code}, session=session) for _ in range(4))
    answers = await asyncio.gather(*confirms)
    assert sorted(code_of(answer) or 0 for answer in answers) == [0, 1003, 1003, 1003]
    refused = await service.call("account.totp.enrol", {"password": PASSWORD}, session=session)
    assert code_of(refused) == 1003
    assert code_of(await finish(service, await ticket_of(service), code)) == 1005  # it has confirmed
    assert "result" in await finish(service, await ticket_of(service), again.code(1))


async def test_disabling(serve: Serve) -> None:
    """It needs a code, and ends remembered devices and logins in progress; then one step is enough."""
    service, store, session, app, codes = await serve_ada(serve)
    ticket = await ticket_of(service)
    device = (await finish(service, await ticket_of(service), codes[0], remember=True))["result"]["device"]
    for code, expected in ((app.wrong, 1005), (app.code(), None)):
        answer = await service.call("account.totp.disable", {"code": code}, session=session)
        assert code_of(answer) == expected
    assert answer["result"] == {"disabled": True}
    assert "result" in await service.call("account.login", ADA)
    assert code_of(await finish(service, ticket, codes[1])) == 1004
    assert await store.list_records("ada", "totp") == []
    app, _ = await enrol(service, session)
    await ticket_of(service, device=device)


async def test_five_tries(serve: Serve) -> None:
    """Then the second step is refused, whatever the code; passwords and other accounts are not."""
    service, _, session, app, _ = await serve_ada(serve)
    ticket = await ticket_of(service)
    answers = await asyncio.gather(*(finish(service, ticket, app.wrong) for _ in range(8)))
    assert sorted(code_of(answer) for answer in answers) == [1005] * 5 + [1012] * 3
    response = await service.post("/account/totp/login", json={"ticket": ticket, "code": app.code()})
    assert response.status == 429
    assert 0 < int(response.headers["Retry-After"]) <= 900
    for method in ("confirm", "disable", "recovery_codes"):
        answer = await service.call(f"account.totp.{method}", {"code": app.code()}, session=session)
        assert code_of(answer) == 1012, method
    await ticket_of(service)
    eve = await service.create("eve")
    others, _ = await enrol(service, eve)
    assert others.secret != app.secret


async def test_somebody_with_the_password_at_many_addresses(serve: Serve) -> None:
    """Twenty wrong codes count from everywhere, though each address has shown it; the owner gets in."""
    service, _, _, app, codes = await serve_ada(serve, trusted_proxies=["127.0.0.1"])

    async def both_steps(code: str, address: str) -> Any:
        first = await service.call("account.login", ADA, **{"x-forwarded-for": address})
        step = {"ticket": first["error"]["ticket"], "code": code}
        return await service.call("account.totp.login", step, **{"x-forwarded-for": address})

    assert "result" in await both_steps(codes[0], "198.51.100.7")
    tried = [code_of(await both_steps(app.wrong, f"192.0.2.{n}")) for n in range(22)]
    assert tried == [1005] * 20 + [1012] * 2
    assert code_of(await both_steps(app.code(), "192.0.2.99")) == 1012
    assert "result" in await both_steps(app.code(), "198.51.100.7")


async def test_logins_of_authors(serve: Serve) -> None:
    """A method that logs in without the password asks for the code too, unless it says that it need not."""
    service, _, _, app, _ = await serve_ada(serve)
    answer = await service.call("enter")
    assert code_of(answer) == 1017
    assert "result" in await finish(service, answer["error"]["ticket"], app.code())
    assert await service.result("enter", {"second_factor": False}) == "ada"


async def test_remembered_devices(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that shows the token has one step, until it is forgotten, expires or the password changes."""
    service, store, session, _, codes = await serve_ada(serve)

    async def remembered(code: str, **more: Any) -> str:
        answer = await finish(service, await ticket_of(service), code, **{"remember": True, **more})
        return str(answer["result"]["device"])

    tokens = [await remembered(code) for code in codes[:3]]
    plain = await finish(service, await ticket_of(service), codes[3])
    assert "device" not in plain["result"]
    for token in tokens:
        assert "result" in await service.call("account.login", {**ADA, "device": token})
    wrong = {**ADA, "password": "wrong horse", "device": tokens[0]}
    assert code_of(await service.call("account.login", wrong)) == 1005
    await service.create("eve")
    eve = await service.result("account.login", {"user_id": "eve", "password": PASSWORD})
    await enrol(service, eve["session_id"])
    hers = {"user_id": "eve", "password": PASSWORD, "device": tokens[0]}
    assert code_of(await service.call("account.login", hers)) == 1017
    for device in ("", "x", tokens[0][:-1], "x" * 5000):
        await ticket_of(service, device=device)
    assert code_of(await service.call("account.login", {**ADA, "device": 1})) == 1003
    listed = (await service.result("account.totp.devices", session=session))["devices"]
    assert len(listed) == 3
    assert {*listed[0]} == {"handle", "created", "expires", "address", "agent"}
    kept = repr(await store.list_records("ada", "device"))
    assert not any(token in kept for token in tokens)
    forgotten = await service.result("account.totp.forget", {"handle": listed[0]["handle"]}, session=session)
    assert forgotten == {"forgotten": 1}
    outcomes = [code_of(await service.call("account.login", {**ADA, "device": token})) for token in tokens]
    assert outcomes == [1017, None, None]
    assert await service.result("account.totp.forget", session=session) == {"forgotten": 2}
    assert await service.result("account.totp.forget", {"handle": "x"}, session=session) == {"forgotten": 0}
    last = await remembered(codes[4])
    await service.result("manage", {"password": PASSWORD})
    await ticket_of(service, device=last)
    monkeypatch.setattr(devices, "TTL", -1.0)
    await ticket_of(service, device=await remembered(codes[5]))


async def test_tickets_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their time, with a new password, and with the account, also if its id comes again."""
    service, store, _, _, codes = await serve_ada(serve)
    ticket = await ticket_of(service)
    await service.result("manage", {"password": PASSWORD})
    assert code_of(await finish(service, ticket, codes[0])) == 1004
    ticket = await ticket_of(service)
    monkeypatch.setattr(login_tickets, "TTL", -1.0)
    assert code_of(await finish(service, await ticket_of(service), codes[1])) == 1004
    await store.remove_account("ada")
    assert code_of(await finish(service, ticket, codes[2])) == 1004
    assert await store.list_sessions("ada") == []


async def test_a_password_that_changes_during_the_second_step(serve: Serve) -> None:
    """The session that would outlive the change ends at once."""

    class Slow(MemoryStore):
        async def add_session(self, session: Session) -> None:
            await super().add_session(session)
            if self.acts:
                await self.replace_password("ada", (await self.get_account("ada")).password, "other")  # type: ignore[union-attr]

        acts = False

    store = Slow()
    service = await serve(METHODS, database=store, secret_key=[SECRET_KEY])
    app, codes = await enrol(service, await service.create())
    ticket = await ticket_of(service)
    store.acts = True
    assert code_of(await finish(service, ticket, codes[0])) == 1004
    assert len(await store.list_sessions("ada")) == 1
    assert app.secret


async def test_every_way_in(serve: Serve) -> None:
    """A batch, JSON-RPC, a socket and the Python client log in, in two steps, with every signature scheme."""
    for signing in ("user_id", "session", "toto1", "off"):
        store = MemoryStore()
        service = await serve(METHODS, database=store, secret_key=[SECRET_KEY], signing=signing)
        url = service.client.make_url("/service")
        async with Client(url, signing=signing) as client:
            await client.create_account("ada", PASSWORD)
            app = App((await client.call("account.totp.enrol"))["uri"])
            codes = (await client.call("account.totp.confirm", {"code": app.code()}))["recovery_codes"]
        async with Client(url, signing=signing) as client:
            with pytest.raises(SecondFactorRequired) as required:
                await client.login("ada", PASSWORD)
            assert client.session is None
            ticket = required.value.ticket
            with pytest.raises(InvalidCredentials):
                await client.finish_login(ticket, app.wrong)
            device = await client.finish_login(ticket, codes[0], remember=True)
            assert await client.call("who") == "ada"
            with pytest.raises(NotAuthorized):
                await client.finish_login(ticket, codes[1])
        async with Client(url, signing=signing) as client:
            await client.login("ada", PASSWORD, device=device)
            assert await client.call("who") == "ada"
    first = {"a": {"method": "account.login", "parameters": ADA}, "b": {"method": "who"}}
    answers = (await (await service.post(json={"batch": first})).json())["batch"]
    assert code_of(answers["a"]) == 1017
    assert code_of(answers["b"]) == 1004
    second = {"ticket": answers["a"]["error"]["ticket"], "code": codes[2]}
    entries = {"a": {"method": "account.totp.login", "parameters": second}, "b": {"method": "who"}}
    answers = (await (await service.post(json={"batch": entries})).json())["batch"]
    assert answers["b"] == {"result": "ada"}
    message = {"jsonrpc": "2.0", "id": 1, "method": "account.login", "params": ADA}
    error = (await (await service.post("/rpc", json=message)).json())["error"]
    assert (error["code"], error["data"]["code"]) == (1017, 1017)
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"id": 1, "method": "account.login", "parameters": ADA})
        answer = await socket.receive_json()
        assert code_of(answer) == 1017
        parameters = {"ticket": answer["error"]["ticket"], "code": codes[3]}
        await socket.send_json({"id": 2, "method": "account.totp.login", "parameters": parameters})
        assert (await socket.receive_json())["result"]["user_id"] == "ada"
        await socket.send_json({"id": 3, "method": "who"})
        assert (await socket.receive_json())["result"] == "ada"


async def test_forms_of_a_browser(serve: Serve) -> None:
    """The form of the first step leads to that of the second, with the ticket, which sets the cookie."""
    service, _, _, app, _ = await serve_ada(serve, use_cookies=True, secure_cookies=False)
    headers = {"Origin": f"{service.client.make_url('/').origin()}"}
    first = {**ADA, "redirect_to": "/notes", "error_redirect_to": "/login?x=1"}
    response = await service.post("/account/login", data=first, headers=headers, allow_redirects=False)
    assert response.status == 303
    assert "Set-Cookie" not in response.headers
    query = response.headers["Location"]
    assert query.startswith("/login?x=1&error=1017&ticket=")
    second = {
        "ticket": query.rpartition("=")[2],
        "code": app.code(),
        "remember": "on",
        "redirect_to": "/notes",
    }
    response = await service.post("/account/totp/login", data=second, headers=headers, allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, "/notes")
    assert "toto-session=" in response.headers["Set-Cookie"]
    called = await service.post("/who", json={}, headers=headers)
    assert (await called.json())["result"] == "ada"


async def test_a_code_of_oathtool(serve: Serve) -> None:
    """Another implementation, Debian's, makes a code that logs in."""
    service, _, _, app, _ = await serve_ada(serve)
    program = shutil.which("oathtool")
    assert program is not None, "install oathtool: tests/install_packages does"
    secret = "".join(f"{byte:02x}" for byte in app.secret)
    done = await asyncio.to_thread(
        subprocess.run, [program, "--totp", secret], capture_output=True, text=True, check=True
    )
    assert "result" in await finish(service, await ticket_of(service), done.stdout.strip())


async def test_a_secret_key_that_changes(serve: Serve, errors: Any) -> None:
    """With the former key behind it codes count, and are encrypted anew; without it nothing skips them."""
    service, store, _, app, codes = await serve_ada(serve)
    other = "another secret key of the service's"
    both = await serve(METHODS, database=store, secret_key=[other, SECRET_KEY])
    assert "result" in await finish(both, await ticket_of(both), app.code())
    await rewind(store)
    new = await serve(METHODS, database=store, secret_key=[other])
    assert "result" in await finish(new, await ticket_of(new), app.code())
    assert code_of(await finish(service, await ticket_of(service), app.code(1))) == 1000
    assert any("secret_key=NEW,OLD" in line or "failed" in line for line in errors())
    assert "result" in await finish(service, await ticket_of(service), codes[0])
    without = await serve({"who": who}, database=store)
    await ticket_of(without)


async def test_a_record_of_another_account(serve: Serve) -> None:
    """A secret that was copied to another account in the database opens nothing."""
    service, store, _, app, _ = await serve_ada(serve)
    eve = await service.create("eve")
    await enrol(service, eve)
    [mine], [hers] = [await store.list_records(user, "totp") for user in ("ada", "eve")]
    await store.put_record(replace(hers, value=mine.value))
    ticket = code_of(await service.call("account.login", {"user_id": "eve", "password": PASSWORD}))
    assert ticket == 1017
    answer = await service.call("account.login", {"user_id": "eve", "password": PASSWORD})
    assert code_of(await finish(service, answer["error"]["ticket"], app.code())) == 1000
    assert msgspec.msgpack.decode(mine.value)


async def test_without_a_key(serve: Serve) -> None:
    """The methods need one: the start says so, and how to make it."""
    for options, text in (({}, "token_urlsafe"), ({"secret_key": ["short"]}, "at least 32")):
        with pytest.raises(SettingsError, match=text):
            await serve(METHODS, **options)
    assert TooManyAttempts.CODE == 1012
