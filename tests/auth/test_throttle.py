"""Login attempts, from the point of view of someone who guesses passwords."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import bson
import msgpack
import pytest

from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service
from toto_aio.auth.throttle import WIDE, WINDOW, Throttle
from toto_aio.auth.turns import Turns
from toto_aio.exceptions import InvalidCredentials, TooManyAttempts, Unavailable
from toto_aio.stores import Store

PASSWORD = "correct horse"


def login(password: str, user_id: str = "ada") -> dict[str, Any]:
    """A call of account.login."""
    return {"method": "account.login", "parameters": {"user_id": user_id, "password": password}}


async def guess(
    service: Service, password: str, address: str = "192.0.2.1", user_id: str = "ada", session: str = ""
) -> int:
    """The error code of a login, or 0 if it succeeds."""
    headers = {"x-forwarded-for": address}
    if session:
        headers["x-toto-session-id"] = session
    answer = await (await service.post(json=login(password, user_id), headers=headers)).json()
    return code(answer)


async def create(service: Service, user_id: str, address: str = "192.0.2.1") -> int:
    """The error code of the creation of an account, or 0 if it succeeds."""
    parameters = {"user_id": user_id, "password": PASSWORD}
    return code(await service.call("account.create", parameters, **{"x-forwarded-for": address}))


def code(answer: dict[str, Any]) -> int:
    """The error code of an answer, or 0."""
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
    assert response.status == 429
    wait = int(response.headers["Retry-After"])
    assert 1 <= wait <= WINDOW
    error = {"code": 1012, "value": "Too many attempts", "retry_after": wait}
    assert await response.json() == {"error": error}
    response = await service.post(json={"batch": {"a": login("wrong"), "b": {"method": "nothing"}}})
    batch = (await response.json())["batch"]
    assert (response.status, batch["a"]["error"]["code"], batch["b"]["error"]["code"]) == (200, 1012, 1001)
    assert 1 <= batch["a"]["error"]["retry_after"] <= WINDOW


async def test_every_way_counts_the_same(serve: Serve) -> None:
    """A batch, each content type, and any case of the user id."""
    service = await serve(login_attempts=4)
    await service.create("ada", PASSWORD)
    batch = {"batch": {"a": login("wrong"), "b": login("wrong", "ADA")}}
    assert [
        entry["error"]["code"] for entry in (await (await service.post(json=batch)).json())["batch"].values()
    ] == [
        1005,
        1005,
    ]
    for content_type, encode in (("application/bson", bson.encode), ("application/msgpack", msgpack.packb)):
        await service.post(data=encode(login("wrong")), headers={"content-type": content_type})
    assert (await (await service.post(json=login(PASSWORD))).json())["error"]["code"] == 1012


async def test_right_passwords_are_given_back(serve: Serve) -> None:
    """Anyone who knows the password may log in as often as they like."""
    service = await serve(login_attempts=2)
    await service.create("ada", PASSWORD)
    codes = [await guess(service, PASSWORD) for _ in range(5)]
    assert codes == [0] * 5
    assert [await guess(service, "wrong"), await guess(service, PASSWORD)] == [1005, 0]
    assert [await guess(service, "wrong"), await guess(service, PASSWORD)] == [1005, 1012]


@pytest.mark.parametrize("limit", [1, 3])
async def test_right_passwords_at_once(serve: Serve, tmp_path: Path, limit: int) -> None:
    """However many right passwords are undecided at the same time, none is refused."""
    url = f"sqlite:///{tmp_path}/toto.db"
    services = [await serve(database=url, login_attempts=limit) for _ in range(2)]
    await services[0].create("ada", PASSWORD)
    codes = await asyncio.gather(*(guess(services[n % 2], PASSWORD) for n in range(40)))
    assert codes == [0] * 40
    assert await guess(services[0], "wrong") == 1005


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


async def test_the_owner_at_an_address_that_is_known(serve: Serve) -> None:
    """Neither strangers elsewhere nor those at the same address lock the owner out there."""
    service = await serve(login_attempts=1, trusted_proxies=["127.0.0.1"])
    await service.create("ada", PASSWORD)
    assert await guess(service, PASSWORD, "198.51.100.7") == 0
    for n in range(WIDE):
        assert await guess(service, "wrong", f"192.0.2.{n}") == 1005
        assert await guess(service, "wrong", "198.51.100.7", f"user {n}") == 1005
    assert await guess(service, PASSWORD, "198.51.100.9") == 1012
    assert await guess(service, "wrong", "198.51.100.7", "another user") == 1012
    assert await guess(service, PASSWORD, "198.51.100.7") == 0
    assert [await guess(service, "wrong", "198.51.100.7") for _ in range(2)] == [1005, 1012]


async def test_the_owner_with_a_session(serve: Serve) -> None:
    """Whoever shows a session of the account has attempts of their own, at any address."""
    service = await serve(login_attempts=2)
    session = await service.create("ada", PASSWORD)
    other = await service.create("eve", PASSWORD)
    assert [await guess(service, "wrong") for _ in range(3)] == [1005, 1005, 1012]
    assert await guess(service, PASSWORD, session=session) == 0
    for shown in ("", other, "nonsense", "x" * 300):
        assert await guess(service, PASSWORD, session=shown) == 1012
    new = {"password": "wrong", "new_password": "battery staple"}
    assert [code(await service.call("account.update", new, session=session)) for _ in range(3)] == [
        1005,
        1005,
        1012,
    ]
    new["password"] = PASSWORD
    assert code(await service.call("account.update", new, session=session)) == 1012


async def test_creations(serve: Serve) -> None:
    """For one id they count like wrong passwords, in total ten times as many, and apart from logins."""
    service = await serve(login_attempts=2, trusted_proxies=["127.0.0.1"])
    assert [await create(service, "Ada") for _ in range(3)] == [0, 1006, 1012]
    codes = [await create(service, f"user {n}") for n in range(2 * WIDE)]
    assert codes == [0] * (2 * WIDE - 2) + [1012] * 2
    assert await guess(service, PASSWORD) == 0
    assert [await create(service, "Ada", "198.51.100.7"), await create(service, "eve", "198.51.100.7")] == [
        1006,
        0,
    ]


async def test_creations_that_are_nobodys_attempt(serve: Serve) -> None:
    """What can't be an account is refused as before, and doesn't count."""
    service = await serve(login_attempts=1)
    for parameters, expected in (
        ({"user_id": "", "password": PASSWORD}, 1010),
        ({"user_id": "ada", "password": "short"}, 1003),
        ({"user_id": "ada", "password": 1}, 1003),
        ({"user_id": {"$gt": ""}, "password": PASSWORD}, 1003),
    ):
        assert code(await service.call("account.create", parameters)) == expected
    assert await create(service, "ada") == 0


async def test_ids_that_look_like_counters(serve: Serve) -> None:
    """No user id counts for another account, or for an address."""
    service = await serve(login_attempts=1, trusted_proxies=["127.0.0.1"])
    await service.create("ada", PASSWORD)
    for user_id in (
        ":ada",
        ":/64:ada",
        "192.0.2.1",
        "192.0.2.1:ada",
        "192.0.2.1:",
        "login",
        "account:ada",
        ":",
    ):
        for _ in range(2):
            await guess(service, "wrong", "198.51.100.7", user_id)
    assert await guess(service, PASSWORD) == 0


async def test_a_network_of_ipv6(serve: Serve) -> None:
    """All addresses that one client has count as one."""
    service = await serve(login_attempts=2, trusted_proxies=["127.0.0.1"])
    codes = [await guess(service, "wrong", f"2001:db8::{n}") for n in range(1, 4)]
    assert codes == [1005, 1005, 1012]
    assert await guess(service, "wrong", "2001:db8:0:1::1") == 1005


async def test_the_larger_networks_of_ipv6(serve: Serve) -> None:
    """From a /56 an account may be tried twice as often as from a /64, from a /48 four times as often."""
    service = await serve(login_attempts=2, trusted_proxies=["127.0.0.1"])
    await service.create("ada", PASSWORD)
    of_56 = [await guess(service, "wrong", f"2001:db8:0:{n:x}::1") for n in range(10)]
    assert of_56 == [1005] * 4 + [1012] * 6
    of_48 = [await guess(service, "wrong", f"2001:db8:0:{n:x}00::1") for n in range(1, 20)]
    assert of_48 == [1005] * 4 + [1012] * 15
    assert await guess(service, PASSWORD, "2001:db8:1::1") == 0


async def test_ipv4_within_ipv6(serve: Serve) -> None:
    """It is the same client as over IPv4, and not the same as all others of IPv4."""
    service = await serve(login_attempts=2, trusted_proxies=["127.0.0.1"])
    forms = ["192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201", "2002:c000:201::5", "64:ff9b::c000:201"]
    assert [await guess(service, "wrong", form) for form in forms] == [1005, 1005, 1012, 1012, 1012]
    assert await guess(service, "wrong", "::ffff:192.0.2.2") == 1005


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


async def test_turns_of_addresses(store: Store) -> None:
    """While many attempts of one client wait, that of another one is next, whatever they are for."""
    throttle = Throttle(store, 10, Turns(1))
    began: list[str] = []

    async def log_in(address: str) -> None:
        async with throttle.attempt("ada", address):
            began.append(address)
            await asyncio.sleep(0.01)

    async def sign_up(address: str) -> None:
        async with throttle.creation("ada", address):
            began.append(address)

    async with asyncio.timeout(WATCHDOG), asyncio.TaskGroup() as group:
        for n in range(6):
            group.create_task((log_in, sign_up)[n % 2](f"2001:db8:0:{n}::1"))
        await asyncio.sleep(0)
        group.create_task(log_in("192.0.2.1"))
    assert began.index("192.0.2.1") == 2
