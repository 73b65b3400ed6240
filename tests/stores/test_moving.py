"""Accounts move to another database by the script of docs/stores.md."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path

from tests.conftest import server_module
from tests.support import ROOT
from tests.support.servers import Server
from toto_aio import open_service
from toto_aio.auth import api_key, devices, second_factor, verified_addresses
from toto_aio.models import Record
from toto_aio.stores import open_store

PAGE = (ROOT / "docs" / "stores.md").read_text()
KINDS = (verified_addresses.KIND, api_key.KIND, second_factor.KIND, devices.KIND)
LOGIN = {"user_id": "ada", "password": "correct horse"}
METHODS = "toto_aio.methods"


async def test_accounts_move(tmp_path: Path, servers: Callable[[str], Server]) -> None:
    """From SQLite to PostgreSQL, with passwords, roles, fields and records; a second run changes nothing."""
    [script] = re.findall(r"^```python\n(# move\.py\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "move.py").write_text(script)
    source = f"sqlite:///{tmp_path}/toto.db"
    target = server_module("postgresql").fresh_url(servers("postgresql"))
    async with open_service(database=source, method_module=METHODS, account_fields=["name"]) as service:
        await service.accounts.create(LOGIN["user_id"], LOGIN["password"], name="Ada")
        await service.accounts.set_roles("ada", ["admin"])
        for number in range(101):
            await service.accounts.create(f"user{number}", None)
    store = await open_store(source)
    for kind in KINDS:
        assert await store.add_record(Record(kind, f"{kind}-key", "ada", b"value"))
    await store.close()
    for _ in range(2):
        command = [sys.executable, "move.py", source, target]
        done = await asyncio.create_subprocess_exec(*command, cwd=tmp_path)
        assert await asyncio.wait_for(done.wait(), 120) == 0
    async with open_service(database=target, method_module=METHODS, account_fields=["name"]) as service:
        account = await service.accounts.get("ada")
        assert account is not None
        assert (account["name"], tuple(account.roles)) == ("Ada", ("admin",))
        assert (await service.call("account.login", LOGIN))["user_id"] == "ada"
        assert await service.accounts.get("user100") is not None
    store = await open_store(target)
    for kind in KINDS:
        [record] = await store.list_records("ada", kind)
        assert (record.key, record.value) == (f"{kind}-key", b"value")
    await store.close()
