"""The client in the documentation of the scheme ``session``."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from tests.support import ROOT


def documented_client() -> Any:
    """The functions of the page's code, as attributes."""
    text = (ROOT / "docs" / "signatures.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  # our own documentation
    return SimpleNamespace(**names)
