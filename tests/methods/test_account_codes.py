"""The methods that send a code: verification and change of an address, a new password, a login."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.limits import PATIENCE, WATCHDOG
from tests.support.mail import Mailbox, code_methods, code_of, link_of, text_of
from tests.support.service import Serve, Service
from toto_aio.auth import confirmation, mail_limits
from toto_aio.auth.turns import Turns
from toto_aio.exceptions import TooManyAttempts, Unavailable
from toto_aio.lifespan import LIFESPAN
from toto_aio.mail import outbox
from toto_aio.mail.outbox import Outbox

Start = Callable[..., Awaitable[tuple[Service, Mailbox]]]


@pytest.fixture
def start(serve: Serve) -> Start:
    """A service with mail, and what it sends."""

    async def start(**options: Any) -> tuple[Service, Mailbox]:
        mailbox = Mailbox()
        given = {"mail": mailbox, "mail_from": "Notes <notes@notes.example>", **options}
        service = await serve(code_methods(), public_url="https://notes.example/", **given)
        return service, mailbox

    return start


async def verify(service: Service, mailbox: Mailbox, session: str, email: str = "ada@example.org") -> None:
    """Verify an address of the session's account."""
    sent = await service.result("account.verify_email.request", {"email": email}, session=session)
    code = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
    assert await service.result("account.verify_email.confirm", code) == {"email": email}


async def error(
    service: Service, method: str, parameters: Any, session: str | None = None
) -> tuple[int, str]:
    """The error of a call."""
    answer = await service.call(method, parameters, session=session)
    return answer["error"]["code"], str(answer["error"]["value"])


def token_of(link: str) -> str:
    """The token in a link."""
    return parse_qs(urlsplit(link).query)["token"][0]


async def test_an_address(start: Start) -> None:
    """It is verified by a code, belongs to one account, and is changed by a password and a code."""
    service, mailbox = await start()
    ada, grace = [await service.create(user_id) for user_id in ("ada", "grace")]
    assert (await error(service, "account.verify_email.request", {"email": "a@example.org"}))[0] == 1004
    await verify(service, mailbox, ada)
    accounts = service.client.app[LIFESPAN].runtime.connection.accounts
    assert await accounts.email("Ada") == "ada@example.org"
    assert await accounts.email("grace") is None
    assert await accounts.email("nobody") is None

    # Whether another account has it is told to who reads its mail only.
    sent = await service.result("account.verify_email.request", {"email": "ADA@example.org"}, session=grace)
    code = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
    taken = 1003, "email: this address belongs to another account."
    assert await error(service, "account.verify_email.confirm", code) == taken

    change = {"email": "new@example.org", "password": "correct horse"}
    assert (await error(service, "account.verify_email.request", {"email": "new@example.org"}, ada))[
        0
    ] == 1003
    assert (await error(service, "account.change_email.request", {**change, "password": "?"}, ada))[0] == 1005
    sent = await service.result("account.change_email.request", change, session=ada)
    mail = await mailbox.next()
    assert mail["To"] == "new@example.org"
    code = {"ticket": sent["ticket"], "code": code_of(mail)}
    assert (await error(service, "account.verify_email.confirm", code))[0] == 1005, "another purpose"
    assert await service.result("account.change_email.confirm", code) == {"email": "new@example.org"}
    told = await mailbox.next()
    assert told["To"] == "ada@example.org"
    assert "new@example.org" in text_of(told)
    await verify(service, mailbox, grace, "ada@example.org")


async def test_a_new_password(start: Start) -> None:
    """By code or link: it ends all sessions and logs nobody in; a password that is refused costs no code."""
    service, mailbox = await start()
    ada = await service.create()
    await verify(service, mailbox, ada)
    for number, by_link in enumerate((False, True)):
        password = f"battery staple {number}"
        sent = await service.result("account.reset_password.request", {"email": "ADA@example.org"})
        mail = await mailbox.next()
        assert mail["To"] == "ada@example.org"
        link = link_of(mail)
        assert link.startswith("https://notes.example/service/account/reset_password/confirm?token=")
        shown = {"token": token_of(link)} if by_link else {"ticket": sent["ticket"], "code": code_of(mail)}
        short = {**shown, "new_password": "short"}
        assert (await error(service, "account.reset_password.confirm", short))[0] == 1003
        both = {**shown, "token": token_of(link), "ticket": "x", "new_password": password}
        assert (await error(service, "account.reset_password.confirm", both))[0] == 1003
        answer = await service.call("account.reset_password.confirm", {**shown, "new_password": password})
        assert answer == {"result": {"user_id": "ada"}}
        assert (await error(service, "account.sessions", {}, ada))[0] == 1004
        again = {**shown, "new_password": password}
        assert (await error(service, "account.reset_password.confirm", again))[0] == 1005
        told = await mailbox.next()
        assert "has just been set" in text_of(told)
        assert (await error(service, "account.login", {"user_id": "ada", "password": "correct horse"}))[
            0
        ] == 1005
        login = await service.result("account.login", {"user_id": "ada", "password": password})
        ada = login["session_id"]


async def test_a_login_by_code(start: Start) -> None:
    """It gives a session; five wrong codes and another one end it."""
    service, mailbox = await start()
    await verify(service, mailbox, await service.create())
    sent = await service.result("account.login_code.request", {"email": "ada@example.org"})
    mail = await mailbox.next()
    assert "http" not in text_of(mail)
    shown = {"ticket": sent["ticket"], "code": code_of(mail)}
    grace = await service.create("grace")
    login = await service.call("account.login_code.confirm", shown, session=grace)
    assert login["result"]["user_id"] == login["session"]["user_id"] == "ada"
    assert (await service.call("account.sessions", session=login["result"]["session_id"]))["result"]
    assert (await error(service, "account.login_code.confirm", shown))[0] == 1005
    sent = await service.result("account.login_code.request", {"email": "ada@example.org"})
    right = code_of(await mailbox.next())
    wrong = f"{(int(right) + 1) % 10**6:06}"
    for _ in range(5):
        tried = {"ticket": sent["ticket"], "code": wrong}
        assert (await error(service, "account.login_code.confirm", tried))[0] == 1005
    assert (await error(service, "account.login_code.confirm", {**tried, "code": right}))[0] == 1005


async def test_a_store_that_fails_after_a_code_was_used(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each method says that it is unavailable, and its code, or link, works when it is sent again."""
    service, mailbox = await start()
    connection = service.client.app[LIFESPAN].runtime.connection
    ada = await service.create()

    async def fail(*_: Any, **__: Any) -> Any:
        monkeypatch.undo()
        raise Unavailable

    async def fails_once(method: str, parameters: Any, *places: tuple[Any, str]) -> Any:
        for owner, name in places:
            monkeypatch.setattr(owner, name, fail)
            assert (await error(service, f"{method}.confirm", parameters))[0] == 1011, (method, name)
        result = await service.result(f"{method}.confirm", parameters)
        assert (await error(service, f"{method}.confirm", parameters))[0] == 1005, method
        return result

    marks = (connection.accounts, "password_mark")
    claims = (connection.coded_mail.addresses, "claim")
    holders = (connection.coded_mail.addresses, "holder")
    email = {"email": "ada@example.org"}
    sent = await service.result("account.verify_email.request", email, session=ada)
    code = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
    assert await fails_once("account.verify_email", code, marks, claims) == email
    change = {"email": "new@example.org", "password": "correct horse"}
    await service.result("account.change_email.request", change, session=ada)
    link = {"token": token_of(link_of(await mailbox.next()))}
    assert await fails_once("account.change_email", link, marks, claims) == {"email": "new@example.org"}
    await mailbox.next()
    email = {"email": "new@example.org"}
    sent = await service.result("account.login_code.request", email)
    code = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
    sessions = (connection.sessions.store, "add_session")
    login = await fails_once("account.login_code", code, marks, holders, sessions)
    assert login["user_id"] == "ada"
    await service.result("account.reset_password.request", email)
    reset = {"token": token_of(link_of(await mailbox.next())), "new_password": "battery staple"}
    accounts = (connection.accounts, "reset_password")
    assert await fails_once("account.reset_password", reset, holders, accounts) == {"user_id": "ada"}


async def test_nobody_learns_who_has_an_account(start: Start) -> None:
    """An address that nobody has gets the same answers, and no mail; its code is tried like any other."""
    service, mailbox = await start()
    await verify(service, mailbox, await service.create())
    shapes = set()
    for email in ("ada@example.org", "nobody@example.org"):
        sent = await service.call("account.reset_password.request", {"email": email})
        shapes.add(re.sub(r"[0-9a-f]{64}\.[\w-]{43}|\d+\.\d+", "X", str(sent)))
        if email.startswith("ada"):
            digits = f"{(int(code_of(await mailbox.next())) + 1) % 10**6:06}"
        wrong = {"ticket": sent["result"]["ticket"], "code": digits, "new_password": "battery staple"}
        for _ in range(6):
            shapes.add(str(await service.call("account.reset_password.confirm", wrong)))
    assert shapes == {
        "{'result': {'ticket': 'X', 'expires': X}}",
        "{'error': {'code': 1005, 'value': 'The code is wrong, used or expired: ask for a new one.'}}",
    }
    await service.result("account.reset_password.request", {"email": "ada@example.org"})
    assert (await mailbox.next())["To"] == "ada@example.org", "nothing came before it"


async def test_a_password_ends_codes(start: Start) -> None:
    """A code of an account is worth nothing once its password is another one."""
    service, mailbox = await start()
    ada = await service.create()
    await verify(service, mailbox, ada)
    change = {"email": "eve@example.org", "password": "correct horse"}
    sent = await service.result("account.change_email.request", change, session=ada)
    shown = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
    both = {"password": "correct horse", "new_password": "battery staple"}
    await service.result("account.update", both, session=ada)
    assert (await error(service, "account.change_email.confirm", shown))[0] == 1005


async def test_a_process_that_was_stopped(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A code that was checked before the password was changed does nothing if the call goes on after it."""
    service, mailbox = await start()
    ada = await service.create()
    await verify(service, mailbox, ada)
    runtime = service.client.app[LIFESPAN].runtime.connection
    to = {"email": "ada@example.org"}
    changing = {"email": "eve@example.org", "password": "correct horse"}
    for method, asked in (("login_code", to), ("reset_password", to), ("change_email", changing)):
        reached, go_on = asyncio.Event(), asyncio.Event()
        sent = await service.result(f"account.{method}.request", asked, session=ada)
        shown = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
        if method == "reset_password":
            shown["new_password"] = "of a thief"
        mark = await runtime.accounts.password_mark("ada")

        async def stopped(
            user_id: str, mark: str = mark, reached: asyncio.Event = reached, go_on: asyncio.Event = go_on
        ) -> str:
            reached.set()
            await go_on.wait()
            monkeypatch.undo()
            return mark

        monkeypatch.setattr(runtime.accounts, "password_mark", stopped)
        confirming = asyncio.ensure_future(error(service, f"account.{method}.confirm", shown))
        async with asyncio.timeout(WATCHDOG):
            await reached.wait()
            await runtime.accounts.set_password("ada", "correct horse")
            ada = (await service.result("account.login", {"user_id": "ada", "password": "correct horse"}))[
                "session_id"
            ]
            go_on.set()
            assert (await confirming)[0] == 1005, method
        assert await runtime.accounts.email("ada") == "ada@example.org"
        assert len(await runtime.sessions.list("ada")) == 1


async def test_a_first_address_of_an_older_session(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs the password, or the thief of a session would set a new one with a code to their address."""
    service, mailbox = await start()
    ada = await service.create()
    monkeypatch.setattr(confirmation, "FRESH", 0.0)
    asked = {"email": "thief@example.org"}
    answer = await service.call("account.verify_email.request", asked, session=ada)
    assert {**answer["error"], "value": ""} == {"code": 1004, "value": "", "max_age": 0}
    assert (await error(service, "account.verify_email.request", {**asked, "password": "?"}, ada))[0] == 1005
    asked = {"email": "ada@example.org", "password": "correct horse"}
    sent = await service.result("account.verify_email.request", asked, session=ada)
    mail = await mailbox.next()
    assert mail["To"] == "ada@example.org"
    code = {"ticket": sent["ticket"], "code": code_of(mail)}
    await service.result("account.verify_email.confirm", code)


async def test_a_new_password_during_a_flood_of_logins(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused if too many wait for their turn to be hashed, and its code is valid afterwards."""
    service, mailbox = await start()
    await verify(service, mailbox, await service.create())
    sent = await service.result("account.reset_password.request", {"email": "ada@example.org"})
    code = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
    reset = {**code, "new_password": "battery staple"}

    async def wait(self: Turns, client: str) -> None:
        raise TooManyAttempts(retry_after=1)

    with monkeypatch.context() as flooded:
        flooded.setattr(Turns, "_wait", wait)
        assert (await error(service, "account.reset_password.confirm", reset))[0] == 1012
    assert await service.result("account.reset_password.confirm", reset) == {"user_id": "ada"}


async def test_an_address_that_was_given_up(start: Start) -> None:
    """Its codes are worth nothing to whoever reads its mail: neither for a password nor for a login."""
    service, mailbox = await start()
    ada = await service.create()
    await verify(service, mailbox, ada, "old@example.org")
    shown = {}
    for method in ("reset_password", "login_code"):
        sent = await service.result(f"account.{method}.request", {"email": "old@example.org"})
        mail = await mailbox.next()
        shown[method] = {"ticket": sent["ticket"], "code": code_of(mail)}
    change = {"email": "new@example.org", "password": "correct horse"}
    sent = await service.result("account.change_email.request", change, session=ada)
    code = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
    await service.result("account.change_email.confirm", code)
    reset = {**shown["reset_password"], "new_password": "battery staple"}
    assert (await error(service, "account.reset_password.confirm", reset))[0] == 1005
    assert (await error(service, "account.login_code.confirm", shown["login_code"]))[0] == 1005
    await service.result("account.login", {"user_id": "ada", "password": "correct horse"})


async def test_a_code_from_before_an_address(start: Start) -> None:
    """Once an account has an address, no code from before replaces it, as that needs the password."""
    service, mailbox = await start()
    ada = await service.create()
    sent = await service.result("account.verify_email.request", {"email": "thief@example.org"}, session=ada)
    stolen = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
    change = {"email": "ada@example.org", "password": "correct horse"}
    sent = await service.result("account.change_email.request", change, session=ada)
    code = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
    await service.result("account.change_email.confirm", code)
    assert (await error(service, "account.verify_email.confirm", stolen))[0] == 1003
    accounts = service.client.app[LIFESPAN].runtime.connection.accounts
    assert await accounts.email("ada") == "ada@example.org"


async def test_mails_that_many_accounts_ask_for(start: Start) -> None:
    """They count for the address that they go to, too."""
    service, _ = await start()
    users = [await service.create(f"user {number}") for number in range(mail_limits.FROM_ONE_CLIENT + 1)]
    request = {"email": "victim@example.org"}
    *_, last = [await service.call("account.verify_email.request", request, session=user) for user in users]
    assert last["error"]["code"] == 1012
    assert (await error(service, "account.login_code.request", request))[0] == 1012


async def test_a_mail_that_comes_late(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A code that could not be stored at once takes the place of none that was asked for after it."""
    service, mailbox = await start()
    await verify(service, mailbox, await service.create())
    mail = service.client.app[LIFESPAN].runtime.connection.coded_mail
    mail.post.outbox = outbox = Outbox(mailbox, waits=(PATIENCE,))
    store, failures = mail._codes.store, [Unavailable()]

    async def fails_once(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        await store(*arguments)

    monkeypatch.setattr(mail._codes, "store", fails_once)
    email = {"email": "ada@example.org"}
    await service.result("account.login_code.request", email)
    sent = await service.result("account.login_code.request", email)
    shown = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
    await outbox.close(WATCHDOG)  # which tries what waits once more
    assert mailbox.messages == []
    await service.result("account.login_code.confirm", shown)


async def test_floods(start: Start) -> None:
    """Mails are limited, whether or not anybody has the address, and bad input counts for nothing."""
    service, _ = await start()
    for email in ("ada@example.org", "nobody@example.org"):
        for bad in ("ada", "a" * 300, 1, None, {"$gt": ""}):
            assert (await error(service, "account.login_code.request", {"email": bad}))[0] == 1003
        language = {"email": email, "language": "../../x"}
        assert (await error(service, "account.login_code.request", language))[0] == 1003
        for _ in range(mail_limits.FROM_ONE_CLIENT):
            await service.result("account.login_code.request", {"email": email})
        assert await error(service, "account.login_code.request", {"email": email.upper()}) == (
            1012,
            "Too many mails",
        )
    response = await service.post("/account/login_code/request", json={"email": "ada@example.org"})
    assert response.status == 429
    assert 0 < int(response.headers["Retry-After"]) <= mail_limits.WINDOW


async def test_too_many_waiting(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """A call whose mail finds no room is told so, whether or not there would be a mail."""
    service, _ = await start()
    post = service.client.app[LIFESPAN].runtime.connection.coded_mail.post
    post.outbox = Outbox(Mailbox(), most=0)
    response = await service.post("/account/login_code/request", json={"email": "nobody@example.org"})
    assert response.status == 503
    assert "mail login_code refused: 0 are waiting" in caplog.text


async def test_the_language_of_an_account(start: Start, tmp_path: Any) -> None:
    """That of the call, else that of the account, else the default."""
    (tmp_path / "login_code.de.txt").write_text("Subject: Ihr Code\n\n$code")
    (tmp_path / "login_code.fr.txt").write_text("Subject: Votre code\n\n$code")
    service, mailbox = await start(mail_templates=str(tmp_path), account_fields=["language"])
    ada = await service.create()
    await verify(service, mailbox, ada)
    await service.result("account.update", {"language": "de-AT"}, session=ada)
    for asked, subject in (
        ({}, "Ihr Code"),
        ({"language": "fr"}, "Votre code"),
        ({"language": "it"}, "is your code"),
    ):
        await service.result("account.login_code.request", {"email": "ada@example.org", **asked})
        assert subject in (await mailbox.next())["Subject"], asked


async def test_one_of_many_logins(start: Start) -> None:
    """A code that is used many times at the same time gives one session."""
    service, mailbox = await start()
    await verify(service, mailbox, await service.create())
    sent = await service.result("account.login_code.request", {"email": "ada@example.org"})
    shown = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
    answers = await asyncio.gather(*(service.call("account.login_code.confirm", shown) for _ in range(20)))
    assert ["result" in answer for answer in answers].count(True) == 1


async def test_the_audit_log_shows_nobody_an_address(
    start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code that is ready has no entry yet: it would take longer than what is done where nobody gets one."""
    service, mailbox = await start()
    await verify(service, mailbox, await service.create())
    monkeypatch.setattr(outbox, "random", SimpleNamespace(uniform=lambda _least, _most: PATIENCE))
    with caplog.at_level("INFO", "toto_aio.audit"):
        sent = await service.result("account.login_code.request", {"email": "ada@example.org"})
        async with asyncio.timeout(WATCHDOG):
            while "code_refused of 'ada'" not in caplog.text:  # until the code is there
                await service.call("account.login_code.confirm", {"ticket": sent["ticket"], "code": "no"})
                await asyncio.sleep(0.02)
        assert "code_sent" not in caplog.text
        await service.client.close()  # nothing waits any more
        assert "code_sent of 'ada' from 127.0.0.1 in account.login_code.request" in caplog.text


async def test_the_audit_log(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """It has who asked for a code and what became of it; neither the code nor the address."""
    with caplog.at_level("INFO", "toto_aio.audit"):
        service, mailbox = await start()
        ada = await service.create()
        await verify(service, mailbox, ada)
        sent = await service.result("account.reset_password.request", {"email": "ada@example.org"})
        mail = await mailbox.next()
        shown = {"ticket": sent["ticket"], "code": code_of(mail), "new_password": "battery staple"}
        wrong = f"{(int(shown['code']) + 1) % 10**6:06}"
        await service.call("account.reset_password.confirm", {**shown, "code": wrong})
        await service.result("account.reset_password.confirm", shown)
        await service.call("account.reset_password.confirm", shown)
        nobody = await service.result("account.reset_password.request", {"email": "nobody@example.org"})
        await service.call("account.reset_password.confirm", {**shown, "ticket": nobody["ticket"]})
        login = {"user_id": "ada", "password": "battery staple"}
        ada = (await service.result("account.login", login))["session_id"]
        await mailbox.next()  # the password has changed
        change = {"email": "new@example.org", "password": "battery staple"}
        sent = await service.result("account.change_email.request", change, session=ada)
        shown = {"ticket": sent["ticket"], "code": code_of(await mailbox.next())}
        await service.result("account.change_email.confirm", shown)
    lines = [re.sub(r" from 127\.0\.0\.1| \[\w+\]", "", record.getMessage()) for record in caplog.records]
    assert [line for line in lines if not line.startswith(("account_created", "login"))] == [
        "code_sent of 'ada' by 'ada' in account.verify_email.request: purpose='verify_email'",
        "email_verified of 'ada' in account.verify_email.confirm",
        "code_sent of 'ada' in account.reset_password.request: purpose='reset_password'",
        "code_refused of 'ada' in account.reset_password.confirm: purpose='reset_password'",
        "password_reset of 'ada' in account.reset_password.confirm",
        "code_refused of no account in account.reset_password.confirm: purpose='reset_password'",
        "code_refused of no account in account.reset_password.confirm: purpose='reset_password'",
        "code_sent of 'ada' by 'ada' in account.change_email.request: purpose='change_email'",
        "email_changed of 'ada' in account.change_email.confirm",
    ]
