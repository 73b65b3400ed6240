"""Names of clients in errors: cut short, whatever they are."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from tests.support.service import Serve
from toto_aio.names import MAX_SHOWN, shortened


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.b", "a.b"),
        ("x" * MAX_SHOWN, "x" * MAX_SHOWN),
        ("x" * (MAX_SHOWN + 1), "x" * (MAX_SHOWN - 3) + "..."),
        (5, "5"),
        ([], "[]"),
        ([1] * 1000, "[1, 1, 1, 1, 1, 1, ...]"),
    ],
)
def test_shortened(name: Any, shown: str) -> None:
    """A short name is shown whole."""
    assert shortened(name) == shown


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", {"method": "\u00e9" * 150_000}),
        ("", {"method": [["x" * 1000] * 30] * 30}),
        ("/" + "x" * 4000, {}),
        ("", {"batch": {"a": {"method": "x" * 300_000}}}),
        (
            "",
            {
                "method": "account.create",
                "parameters": {"user_id": "a", **{"k" * n: 1 for n in range(1, 500)}},
            },
        ),
    ],
    ids=["text", "arrays", "path", "batch", "fields"],
)
async def test_errors_are_short(serve: Serve, path: str, message: dict[str, Any]) -> None:
    """A name of half a megabyte does not come back."""
    service = await serve({})
    body = io.BytesIO(json.dumps(message).encode())
    response = await service.post(path, data=body, headers={"content-type": "application/json"})
    assert len(await response.read()) < 1500
