"""Calls with codes that are interrupted anywhere: by a store that fails, or by their time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, NamedTuple

import pytest

import toto_aio.methods.account.totp
from tests.support.authenticator import SECRET_KEY, enrol, rewind
from tests.support.mail import DIGITS, Mailbox, code_methods, code_of, text_of
from tests.support.service import Serve, Service
from toto_aio.exceptions import Unavailable
from toto_aio.lifespan import LIFESPAN
from toto_aio.mail import outbox
from toto_aio.stores.memory import MemoryStore

WAYS = ("unavailable before", "unavailable after", "limit before", "limit after")
PASSWORD = "correct horse"


class Prepared(NamedTuple):
    """A call that is to be interrupted."""

    user_id: str
    method: str
    parameters: dict[str, Any]
    session: str | None = None


class Interrupted(MemoryStore):
    """A store of which one operation fails, or lets the calls run into their limit."""

    way = ""
    number = -1
    service: Any = None

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name in ("close", "sweep") or not asyncio.iscoroutinefunction(found):
            return found

        async def operation(*values: Any, **others: Any) -> Any:
            self.number -= 1
            if self.number != -1:
                return await found(*values, **others)
            how, when = self.way.split()
            if when == "after":
                await found(*values, **others)
            if how == "unavailable":
                raise Unavailable
            self.service.cut_off()
            await asyncio.sleep(0)

        return operation


class Users:
    """Makes users of a service, and calls of theirs with a code that is to be used."""

    def __init__(self, service: Service, store: Interrupted, mailbox: Mailbox) -> None:
        self.service = service
        self._store = store
        self._mailbox = mailbox
        self.names = count()

    async def sent(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """What a method sends by mail, with its ticket."""
        sent = await self.service.result(f"{method}.request", parameters, session=session)
        message = await self._mailbox.next()
        while not DIGITS.search(text_of(message)):  # one that tells of an earlier change
            message = await self._mailbox.next()
        return {"ticket": sent["ticket"], "code": code_of(message)}

    async def verified(self) -> tuple[str, str, str]:
        """A user with an address, and a session."""
        user_id = f"u{next(self.names)}"
        session, email = await self.service.create(user_id), f"{user_id}@example.org"
        sent = await self.sent("account.verify_email", session, email=email)
        await self.service.result("account.verify_email.confirm", sent)
        return user_id, session, email

    async def enrolled(self) -> tuple[str, str, str]:
        """A user with a second factor, a session, and a recovery code."""
        user_id = f"u{next(self.names)}"
        session = await self.service.create(user_id)
        _, codes = await enrol(self.service, session)
        await rewind(self._store, user_id)
        return user_id, session, codes[0]


async def verify_email(users: Users) -> Prepared:
    """Verify a first address."""
    user_id = f"u{next(users.names)}"
    session = await users.service.create(user_id)
    code = await users.sent("account.verify_email", session, email=f"{user_id}@example.org")
    return Prepared(user_id, "account.verify_email.confirm", code)


async def change_email(users: Users) -> Prepared:
    """Change an address."""
    user_id, session, _ = await users.verified()
    email = f"{user_id}@new.example.org"
    code = await users.sent("account.change_email", session, email=email, password=PASSWORD)
    return Prepared(user_id, "account.change_email.confirm", code)


async def login_code(users: Users) -> Prepared:
    """Log in with a code by mail."""
    user_id, _, email = await users.verified()
    code = await users.sent("account.login_code", email=email)
    return Prepared(user_id, "account.login_code.confirm", code)


async def reset_password(users: Users) -> Prepared:
    """Set a new password."""
    user_id, _, email = await users.verified()
    code = await users.sent("account.reset_password", email=email)
    return Prepared(user_id, "account.reset_password.confirm", {**code, "new_password": "battery staple"})


async def totp_login(users: Users) -> Prepared:
    """Finish a login, on a device that is to be remembered."""
    user_id, _, code = await users.enrolled()
    answer = await users.service.call("account.login", {"user_id": user_id, "password": PASSWORD})
    shown = {"ticket": answer["error"]["ticket"], "code": code, "remember": True}
    return Prepared(user_id, "account.totp.login", shown)


async def disable(users: Users) -> Prepared:
    """Turn a second factor off."""
    user_id, session, code = await users.enrolled()
    return Prepared(user_id, "account.totp.disable", {"code": code}, session)


async def recovery_codes(users: Users) -> Prepared:
    """Make new recovery codes."""
    user_id, session, code = await users.enrolled()
    return Prepared(user_id, "account.totp.recovery_codes", {"code": code}, session)


FLOWS: list[Callable[[Users], Awaitable[Prepared]]] = [
    *(verify_email, change_email, login_code, reset_password),
    *(totp_login, disable, recovery_codes),
]


@pytest.mark.parametrize("flow", FLOWS)
async def test_a_call_with_a_code(
    serve: Serve, flow: Callable[[Users], Awaitable[Prepared]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is cut off or fails, it can be sent again with its code, or has done what it is for."""
    monkeypatch.setattr(outbox, "SPREAD", 0.0)
    for way in WAYS:
        store, mailbox = Interrupted(), Mailbox()
        service = await serve(
            {**code_methods(), "account.totp": toto_aio.methods.account.totp},
            database=store,
            mail=mailbox,
            mail_from="Notes <notes@notes.example>",
            public_url="https://notes.example/",
            secret_key=[SECRET_KEY],
        )
        runtime = service.client.app[LIFESPAN].runtime
        store.service = service
        users = Users(service, store, mailbox)
        for number in count():
            call = await flow(users)
            store.way, store.number = way, number
            first = await service.call(call.method, call.parameters, session=call.session)
            was_interrupted, store.number = store.number < 0, -1
            await runtime.connection.coded_mail.close()
            await runtime.connection.second_factor.close()
            if "result" not in first:
                assert first["error"]["code"] in (1011, 1013), (way, number)
                again = await service.call(call.method, call.parameters, session=call.session)
                assert "result" in again or await is_done(service, call), (way, number, first, again)
            elif not was_interrupted:
                break
        assert number > 5


async def is_done(service: Service, call: Prepared) -> bool:
    """Whether what a call is for is done; of a login, whether a new one takes the same code."""
    password = call.parameters.get("new_password", PASSWORD)
    if call.method == "account.reset_password.confirm":  # after which there may be no session for a minute
        accounts = service.client.app[LIFESPAN].runtime.connection.accounts
        return bool((await accounts.verify(call.user_id, password)).user_id == call.user_id)
    answer = await service.call("account.login", {"user_id": call.user_id, "password": password})
    if call.method == "account.totp.login":
        code = {**call.parameters, "ticket": answer["error"]["ticket"]}
        answer = await service.call(call.method, code)
    return "result" in answer
