"""URLs that open no store: the error says which one is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from toto_aio.exceptions import Unavailable
from toto_aio.settings import SettingsError
from toto_aio.stores import open_store


@pytest.mark.parametrize(
    ("database", "meant"),
    [
        ("postgresql+asyncpg://ada:secret@host/notes", "write postgresql://..."),
        ("mysql+pymysql://host/notes", "write mysql://..."),
        ("sqlite+aiosqlite:///toto.db", "write sqlite://..."),
        ("mariadb://host/notes", "write mysql://..."),
        ("toto.db", "write sqlite:///toto.db"),
        ("/var/lib/notes.sqlite3", "write sqlite:////var/lib/notes.sqlite3"),
        ("oracle://host", "write one of memory://, "),
        ("notes", "write one of memory://, "),
    ],
)
async def test_urls_of_other_libraries(database: str, meant: str) -> None:
    """The one that is meant is named, for a driver, another name or a path; without a password."""
    with pytest.raises(SettingsError) as refused:
        await open_store(database)
    assert meant in str(refused.value)
    assert "secret" not in str(refused.value)


async def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """It is named, where SQLite only says that it cannot open the file."""
    with pytest.raises(Unavailable) as refused:
        await open_store(f"sqlite:///{tmp_path}/data/toto.db")
    assert refused.value.value.endswith(f"there is no folder '{tmp_path}/data': make it")
