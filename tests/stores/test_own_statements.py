"""The examples of docs/methods.md with statements for PostgreSQL."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import server_module
from tests.support import ROOT
from tests.support.servers import Server
from toto_aio import TotoException, open_service
from toto_aio.settings import read_settings


async def test_statements_of_postgresql(
    tmp_path: Path, servers: Callable[[str], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They create the tables, twice, and Ada pays Bob until she has no money left."""
    page = (ROOT / "docs" / "methods.md").read_text()
    package = tmp_path / "postgresql_methods"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, code in re.findall(r"^```python\n# postgresql/(\w+)\.py\n(.*?)^```$", page, re.M | re.S):
        folder = package if name == "pay" else tmp_path
        (folder / f"{name}.py").write_text(code)
    (tmp_path / "tables.py").rename(tmp_path / "postgresql_tables.py")
    monkeypatch.syspath_prepend(tmp_path)
    url = server_module("postgresql").fresh_url(servers("postgresql"))
    settings = read_settings(
        {"database": url, "startup_function": "postgresql_tables.create", "method_module": package.name}
    )
    for expected in ([3, 7], [0, 10]):
        async with open_service(settings) as service:
            assert await service.call("pay", {"amount": 7 if expected[0] else 3}) == expected
            with pytest.raises(TotoException, match="2003"):
                await service.call("pay", {"amount": 11})
    for name in ("postgresql_tables", package.name, f"{package.name}.pay"):
        sys.modules.pop(name, None)
