"""How often a user may call the methods of accounts that store or read much."""

from __future__ import annotations

from collections import Counter

from tests.support.authenticator import SECRET_KEY, code_of
from tests.support.service import Serve
from toto_aio.methods.account import api_keys, export, totp

RATES = {
    "account.api_keys.create": 100,
    "account.export": 10,
    "account.totp.enrol": 30,
    "account.totp.confirm": 30,
    "account.totp.disable": 30,
    "account.totp.recovery_codes": 30,
}


async def test_the_rates(serve: Serve) -> None:
    """A user may make so many calls in 15 minutes, whatever becomes of them, and the next is error 1012."""
    own = {"account.api_keys": api_keys, "account.export": export, "account.totp": totp}
    service = await serve(own, secret_key=[SECRET_KEY], batch_limit=200)
    ada, eve = [await service.create(user_id) for user_id in ("ada", "eve")]
    for method, times in RATES.items():
        assert code_of(await service.call(method)) == 1004, method
        batch = {"batch": {str(number): {"method": method} for number in range(times + 3)}}
        answer = await (await service.post(json=batch, headers={"x-toto-session-id": ada})).json()
        codes = Counter(code_of(each) == 1012 for each in answer["batch"].values())
        assert codes == {False: times, True: 3}, method
        assert code_of(await service.call(method, session=eve)) != 1012, method
