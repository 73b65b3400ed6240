"""URLs as logs and errors show them."""

from __future__ import annotations

import pytest

from toto_aio.settings.urls import address_of


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:secret@db.example:5433/notes", "postgresql://db.example:5433/notes"),
        ("postgresql://ada:secret@db.example/notes?sslmode=require", "postgresql://db.example:5432/notes"),
        ("postgresql://db.example/notes?password=secret", "postgresql://db.example:5432/notes"),
        ("mysql+aiomysql://ada:secret@[::1]/notes", "mysql+aiomysql://[::1]:3306/notes"),
        ("mongodb://ada:se%40cret@one,two:27018/notes", "mongodb://one:27017,two:27018/notes"),
        ("rediss://:secret@cache.example/0", "rediss://cache.example:6379/0"),
        ("redis://localhost", "redis://localhost:6379"),
        ("mysql", "mysql://localhost:3306"),
    ],
)
def test_host_and_port(url: str, shown: str) -> None:
    """The server, its port and the database are named, whatever the URL leaves out."""
    assert address_of(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:sec@ret@db.example/notes",
        "postgresql://ada:sec/ret@db.example/notes",
        "postgresql://ada:sec?ret@db.example/notes",
        "postgresql://ada:sec#ret@db.example/notes",
        "postgresql://ada:x@db.example/notes?password=sec@ret",
        "postgresql://ada:secret@/notes",
        "postgresql:///notes?host=/run/postgresql&password=secret",
        "redis://ada:secret@exa mple/0",
        "mysql://ada:secret@host/name/secret@",
    ],
)
def test_what_may_be_a_password(url: str) -> None:
    """Nothing of a URL is shown that can be read in two ways."""
    assert "sec" not in address_of(url)
    assert "ret" not in address_of(url).replace("postgresql", "")
