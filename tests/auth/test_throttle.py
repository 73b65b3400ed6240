"""Login attempts, from the point of view of someone who guesses passwords."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import bson
import msgpack
import pytest

from tests.support.service import Serve, Service
from toto_aio.auth.throttle import WIDE, Throttle
from toto_aio.exceptions import InvalidCredentials, TooManyAttempts, Unavailable
from toto_aio.stores import Store

PASSWORD = "correct horse"


def login(password: str, user_id: str = "ada") -> dict[str, Any]:
    """A call of account.login."""
    return {"method": "account.login", "parameters": {"user_id": user_id, "password": password}}


async def guess(service: Service, password: str, address: str = "192.0.2.1", user_id: str = "ada") -> int:
    """The error code of a login, or 0 if it succeeds."""
    headers = {"x-forwarded-for": address}
    answer = await (await service.post(json=login(password, user_id), headers=headers)).json()
    return int(answer["error"]["code"]) if "error" in answer else 0


@pytest.mark.parametrize("database", ["memory", "sqlite"])
async def test_guesses_at_once(serve: Serve, tmp_path: Path, database: str) -> None:
    """Of a thousand concurrent guesses, exactly the allowed ten are checked."""
    url = "memory://" if database == "memory" else f"sqlite:///{tmp_path}/toto.db"
    service = await serve(database=url)
    await service.create("ada", PASSWORD)
    codes = await asyncio.gather(*(guess(service, f"guess {n}") for n in range(1000)))
    assert Counter(codes) == {1005: 10, 1012: 990}
    assert await guess(service, PASSWORD) == 1012


async def test_the_answer(serve: Serve) -> None:
    """It is 429 and states when to retry; in a batch it is the error of its call."""
    service = await serve(login_attempts=1)
    assert (await service.post(json=login("wrong"))).status == 200
    response = await service.post(json=login("wrong"))
    assert (response.status, response.headers["Retry-After"]) == (429, "900")
    assert await response.json() == {"error": {"code": 1012, "value": "Too many attempts"}}
    response = await service.post(json={"batch": {"a": login("wrong"), "b": {"method": "nothing"}}})
    batch = (await response.json())["batch"]
    assert (response.status, batch["a"]["error"]["code"], batch["b"]["error"]["code"]) == (200, 1012, 1001)


async def test_every_way_counts_the_same(serve: Serve) -> None:
    """A batch, each content type, any case of the user id, and account.update."""
    service = await serve(login_attempts=6)
    session = await service.create("ada", PASSWORD)
    batch = {"batch": {"a": login("wrong"), "b": login("wrong", "ADA")}}
    assert [
        entry["error"]["code"] for entry in (await (await service.post(json=batch)).json())["batch"].values()
    ] == [
        1005,
        1005,
    ]
    for content_type, encode in (("application/bson", bson.encode), ("application/msgpack", msgpack.packb)):
        await service.post(data=encode(login("wrong")), headers={"content-type": content_type})
    for _ in range(2):
        parameters = {"password": "wrong", "new_password": "battery staple"}
        answer = await service.call("account.update", parameters, session=session)
        assert answer["error"]["code"] == 1005
    assert (await service.call("account.update", parameters, session=session))["error"]["code"] == 1012
    assert (await (await service.post(json=login(PASSWORD))).json())["error"]["code"] == 1012


async def test_right_passwords_are_given_back(serve: Serve) -> None:
    """Anyone who knows the password may log in as often as they like."""
    service = await serve(login_attempts=2)
    await service.create("ada", PASSWORD)
    codes = [await guess(service, PASSWORD) for _ in range(5)]
    assert codes == [0] * 5
    assert [await guess(service, "wrong"), await guess(service, PASSWORD)] == [1005, 0]
    assert [await guess(service, "wrong"), await guess(service, PASSWORD)] == [1005, 1012]


async def test_an_honest_user_from_elsewhere(serve: Serve) -> None:
    """While one address guesses, the owner of the account can log in from another."""
    service = await serve(login_attempts=3, trusted_proxies=["127.0.0.1"])
    await service.create("ada", PASSWORD)
    codes = [await guess(service, f"guess {n}") for n in range(20)]
    assert codes == [1005] * 3 + [1012] * 17
    assert await guess(service, PASSWORD, "198.51.100.7") == 0
    assert await guess(service, PASSWORD, "192.0.2.1") == 1012


async def test_an_address_that_tries_many_accounts(serve: Serve) -> None:
    """It may try ten times as often in total, and does not block other addresses."""
    service = await serve(login_attempts=1, trusted_proxies=["127.0.0.1"])
    await service.create("ada", PASSWORD)
    codes = [await guess(service, "password", user_id=f"user {n}") for n in range(WIDE + 2)]
    assert codes == [1005] * WIDE + [1012] * 2
    assert await guess(service, PASSWORD) == 1012
    assert await guess(service, PASSWORD, "198.51.100.7") == 0


async def test_an_account_that_is_tried_from_everywhere(serve: Serve) -> None:
    """From all addresses together it may be tried ten times as often."""
    service = await serve(login_attempts=1, trusted_proxies=["127.0.0.1"])
    await service.create("ada", PASSWORD)
    codes = [await guess(service, "wrong", f"192.0.2.{n}") for n in range(WIDE + 2)]
    assert codes == [1005] * WIDE + [1012] * 2


async def test_a_network_of_ipv6(serve: Serve) -> None:
    """All addresses that one client has count as one."""
    service = await serve(login_attempts=2, trusted_proxies=["127.0.0.1"])
    codes = [await guess(service, "wrong", f"2001:db8::{n}") for n in range(1, 4)]
    assert codes == [1005, 1005, 1012]
    assert await guess(service, "wrong", "2001:db8:0:1::1") == 1005


async def test_an_address_that_is_only_claimed(serve: Serve) -> None:
    """Without a trusted proxy, X-Forwarded-For changes nothing."""
    service = await serve(login_attempts=2)
    assert [await guess(service, "wrong", f"192.0.2.{n}") for n in range(3)] == [1005, 1005, 1012]


async def test_processes_share_the_count(serve: Serve, tmp_path: Path) -> None:
    """Two services on one database count together."""
    url = f"sqlite:///{tmp_path}/toto.db"
    services = [await serve(database=url, login_attempts=4) for _ in range(2)]
    codes = await asyncio.gather(*(guess(services[n % 2], "wrong") for n in range(20)))
    assert Counter(codes) == {1005: 4, 1012: 16}


async def test_failures_that_are_nobodys_guess(store: Store) -> None:
    """An attempt that met an outage is given back; a wrong password is not."""
    throttle = Throttle(store, 1)
    for _ in range(3):
        with pytest.raises(Unavailable):
            async with throttle.attempt("ada", "192.0.2.1"):
                raise Unavailable
    with pytest.raises(InvalidCredentials):
        async with throttle.attempt("ada", "192.0.2.1"):
            raise InvalidCredentials
    with pytest.raises(TooManyAttempts):
        async with throttle.attempt("ada", "192.0.2.1"):
            raise AssertionError("the password was looked at")
