"""Secrets that are encrypted with ``secret_key``."""

from __future__ import annotations

import sys

import pytest

from toto_aio.auth.secret_box import SecretBox, UndecryptableError
from toto_aio.settings import SettingsError

OLD, NEW = "o" * 32, "n" * 32


def test_a_secret_comes_back() -> None:
    """With the key, for what and for whom it was encrypted; every time it looks different."""
    box = SecretBox([OLD])
    stored = [box.encrypt(b"secret", "totp of ada") for _ in range(2)]
    assert stored[0] != stored[1]
    assert b"secret" not in stored[0]
    assert [box.decrypt(each, "totp of ada") for each in stored] == [b"secret"] * 2
    changed = stored[0][:-1] + bytes([stored[0][-1] ^ 1])
    for wrong, purpose in (
        (stored[0], "totp of eve"),
        (changed, "totp of ada"),
        (stored[0][:-1], "totp of ada"),
    ):
        with pytest.raises(UndecryptableError, match="changed, or is another account's"):
            box.decrypt(wrong, purpose)


def test_a_key_that_is_replaced() -> None:
    """The first key encrypts, the others decrypt; without the former key the error says what to write."""
    stored = SecretBox([OLD]).encrypt(b"secret", "x")
    assert SecretBox([NEW, OLD]).decrypt(stored, "x") == b"secret"
    again = SecretBox([NEW, OLD]).encrypt(b"secret", "x")
    assert SecretBox([NEW]).decrypt(again, "x") == b"secret"
    for keys in ([NEW], []):
        with pytest.raises(UndecryptableError, match="secret_key=NEW,OLD"):
            SecretBox(keys).decrypt(stored, "x")


def test_wrong_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short one is refused, and so is one without the library, each with what to do."""
    with pytest.raises(SettingsError, match="at least 32"):
        SecretBox([NEW, "short"])
    monkeypatch.setitem(sys.modules, "cryptography", None)
    SecretBox([])
    with pytest.raises(SettingsError, match=r"toto-aio\[totp\]"):
        SecretBox([NEW])
