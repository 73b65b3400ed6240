"""An authenticator app, which shows the codes of a second factor."""

from __future__ import annotations

import base64
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec.structs import replace

from tests.support.service import Service
from toto_aio.auth import totp
from toto_aio.auth.second_factor import KIND, Factor
from toto_aio.stores.memory import MemoryStore

SECRET_KEY = "a secret key of thirty-two letters"


class App:
    """The app of a user, whose uri it has read."""

    def __init__(self, uri: str) -> None:
        [secret] = parse_qs(urlsplit(uri).query)["secret"]
        self.secret = base64.b32decode(secret)

    def code(self, offset: int = 0) -> str:
        """The code of a step around now."""
        return totp.hotp(self.secret, totp.step_at(time.time()) + offset)

    @property
    def wrong(self) -> str:
        """A code that is none of those around now."""
        near = {self.code(offset) for offset in range(-3, 4)}
        return next(code for code in ("000000", *map(str, range(111111, 111120))) if code not in near)


async def enrol(service: Service, session: str) -> tuple[App, list[str]]:
    """Turn the second factor of a session's user on; the app, and the recovery codes."""
    made = await service.result("account.totp.enrol", session=session)
    app = App(made["uri"])
    confirmed = await service.result("account.totp.confirm", {"code": app.code()}, session=session)
    return app, confirmed["recovery_codes"]


async def rewind(store: MemoryStore, user_id: str = "ada") -> None:
    """Let the codes that have counted count again, as those of later steps would."""
    [record] = await store.list_records(user_id, KIND)
    factor = msgspec.msgpack.decode(record.value, type=Factor)
    value = msgspec.msgpack.encode(replace(factor, step=0))
    assert await store.save_record(replace(record, value=value))


def code_of(answer: Any) -> Any:
    """The code of an error; None for a result."""
    return answer.get("error", {}).get("code")
