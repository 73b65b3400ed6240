"""What is public is one list: the names in docs/reference.md, and in ``__all__`` of the public modules."""

from __future__ import annotations

import importlib
import importlib.metadata
import re

import pytest

import toto_aio
from tests.support import ROOT

DIRECTIVE = re.compile(r"^\.\. auto(\w+):: ([\w.]+).*\n((?:   .*\n|\n)*)", re.MULTILINE)
MEMBERS = re.compile(r":members:((?: .*\n|\n {6,}.*)*)")
PUBLIC = (
    "toto_aio",
    "toto_aio.auth.accounts",
    "toto_aio.auth.api_keys",
    "toto_aio.auth.sessions",
    "toto_aio.brokers",
    "toto_aio.channels",
    "toto_aio.client",
    "toto_aio.codecs",
    "toto_aio.events",
    "toto_aio.exceptions",
    "toto_aio.invocation",
    "toto_aio.middleware",
    "toto_aio.models",
    "toto_aio.settings",
    "toto_aio.signing",
    "toto_aio.stores",
    "toto_aio.testing",
)
"""The modules that authors import, beside the methods in ``toto_aio.methods``; others are internal."""


def documented() -> dict[str, set[str]]:
    """The names that the reference has of each module."""
    found: dict[str, set[str]] = {}
    for kind, path, options in DIRECTIVE.findall((ROOT / "docs" / "reference.md").read_text()):
        if kind == "module":
            [members] = MEMBERS.findall(options)
            names = set(re.findall(r"\w+", members)) or set(importlib.import_module(path).__all__)
            found.setdefault(path, set()).update(names)
        else:
            module, _, name = path.rpartition(".")
            found.setdefault(module, set()).add(name)
    return found


def test_the_reference_has_every_public_module() -> None:
    """And none that is internal."""
    assert sorted(documented()) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_reference_and_all(name: str) -> None:
    """They are the same names; what two modules export is documented once."""
    reference = documented()
    module = importlib.import_module(name)
    exported = set(module.__all__)
    for other in PUBLIC:
        if other != name:
            found = importlib.import_module(other)
            exported -= {
                each for each in exported & reference[other] if getattr(found, each) is getattr(module, each)
            } - reference[name]
    assert exported == reference[name]
    assert all(hasattr(module, each) for each in module.__all__)


def test_the_root() -> None:
    """Its names are those that the documentation imports from it."""
    assert toto_aio.__all__ == [
        "Connection",
        "File",
        "Handler",
        "OpenService",
        "Settings",
        "TotoException",
        "TotoServer",
        "UserAccount",
        "UserSession",
        "create_app",
        "method",
        "open_service",
    ]


def test_the_version() -> None:
    """It is that of the package which is installed."""
    assert toto_aio.__version__ == importlib.metadata.version("toto-aio")
