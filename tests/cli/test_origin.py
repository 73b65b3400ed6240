"""Where a new project gets toto_aio from."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest

from toto_aio.cli.origin import requirement

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, "toto-aio[redis]>=1.2"),
        ({"url": "file://{path}", "dir_info": {"editable": True}}, "toto-aio[redis] @ file://{path}"),
        ({"url": "file://{path}/gone", "dir_info": {}}, "toto-aio[redis]>=1.2"),
        (
            {"url": "https://git.example/t.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f"toto-aio[redis] @ git+https://git.example/t.git@{COMMIT}",
        ),
        (
            {"url": "https://files.example/t.whl", "archive_info": {}},
            "toto-aio[redis] @ https://files.example/t.whl",
        ),
        (
            {"url": "file://{path}", "dir_info": {}, "subdirectory": "a/b"},
            "toto-aio[redis] @ file://{path}#subdirectory=a/b",
        ),
    ],
    ids=["index", "path", "lost path", "repository", "archive", "subdirectory"],
)
def test_requirement(
    origin: dict[str, Any] | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what the installer has noted, if that can still be found, else a version of the index."""

    class Installed:
        version = "1.2+local"

        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return None if origin is None else json.dumps(origin).replace("{path}", str(tmp_path))

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    assert requirement("redis") == expected.replace("{path}", str(tmp_path))
    assert requirement("").startswith("toto-aio")
    assert "[" not in requirement("")
