"""Tests of ``toto-aio user-ids``: accounts whose ids look the same, or are not in today's form."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from toto_aio.cli import user_ids
from toto_aio.cli.main import main
from toto_aio.cli.user_ids import find
from toto_aio.models import Account
from toto_aio.stores import Store, open_store

OLD = (
    "\uff41dmin",
    "admin",
    "ad\u034fmin",
    "ada ",
    "\u0430",
    "eve",
    "e\u0301",
    "Zoe",
    "\u2800x",
    "x\u00a0",
    "z" * 255,
)
SAID = r"""
these look the same: 'admin', 'ad\u034fmin', '\uff41dmin'
these look the same: 'x\xa0', '\u2800x'
nobody can log in to 'Zoe': it has upper case
'ada ' is in an older form, and found as it is: today's is 'ada'
'e\u0301' is in an older form, and found as it is: today's is '\xe9'
11 accounts: 2 user ids of more than one, 2 in an older form, 1 out of reach
"""


async def test_ids_of_version_0_1(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """On every store, whatever the size of a portion, each such account is named once."""
    for user_id in OLD:
        await store.add_account(Account(user_id, None, {}))
    for portion in (1000, 2, 1):
        monkeypatch.setattr(user_ids, "PORTION", portion)
        found = await find(store)
        assert sorted(str(found).splitlines()) == sorted(SAID.strip().splitlines())
        assert not found.is_clean


async def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with status 1 if two accounts look the same, else with 0; its output is ASCII."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/toto.db"
    store = await open_store(url)
    await store.add_account(Account("ada", None, {}))
    await store.add_account(Account("e\u0301ve", None, {}))
    await store.close()
    outcomes = []
    for extra in (None, "ad\u034fa"):
        if extra is not None:
            store = await open_store(url)
            await store.add_account(Account(extra, None, {}))
            await store.close()
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(main, ["user-ids", f"--database={url}"])
        outcomes.append((ended.value.code, capsys.readouterr().out))
    assert [code for code, _ in outcomes] == [0, 1]
    assert "2 accounts: 0 user ids of more than one, 1 in an older form, 0 out of reach" in outcomes[0][1]
    assert r"these look the same: 'ada', 'ad\u034fa'" in outcomes[1][1]
    assert all(said.isascii() for _, said in outcomes)


def test_no_database(capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be opened is said in one line."""
    with pytest.raises(SystemExit, match=r"^toto-aio: database: "):
        main(["user-ids", "--database=nonsense://x"])
    with pytest.raises(SystemExit, match=r"^toto-aio: Cannot open the database redis://127.0.0.1:1/0: "):
        main(["user-ids", "--database=redis://127.0.0.1:1/0"])
