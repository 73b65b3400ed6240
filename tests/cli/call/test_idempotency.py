"""Calls from the shell that may be repeated."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

import pytest

from tests.cli.call.conftest import Run
from tests.cli.call.service import PAID


def test_a_repeat_is_done_once(
    run: Run, urls: Mapping[str, str], folder: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key that was made up and shown, or with one's own, over HTTP and in process."""
    for target in (urls["session"], "."):
        PAID.clear()
        user: tuple[str, ...] = ()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"correct horse\n")))
        if target == ".":
            user = ("--user=payer",)
            made = run("call", ".", "account.create", "--user-id=payer", "--password=correct horse")
            assert made.status == 0, made
        else:
            assert run("login", target, "payer", "--create").status == 0
        done = run("call", target, "pay", "--idempotency-key", "--amount=5", *user)
        assert (done.status, done.out) == (0, "5\n"), done
        again = re.fullmatch(r"toto-aio: to repeat this call, write (--idempotency-key=\w{32})\n", done.err)
        assert again is not None, done
        for _ in range(2):
            assert run("call", target, "pay", "--amount=5", again[1], *user) == (0, "5\n", "")
        assert run("call", target, "--idempotency-key=b", "pay", "--amount=5", *user) == (0, "10\n", "")
        assert run("call", target, "pay", "--amount=5", *user) == (0, "15\n", "")
        assert PAID == [5, 5, 5]
        done = run("call", target, "pay", "--amount=6", again[1], *user)
        assert (done.status, done.err[:16]) == (2, "toto-aio: 1015: "), done
        for written, said in {
            ("greet", "--name=a", "--idempotency-key"): "greet is not marked @idempotent",
            ("pay", "--amount=5", "--idempotency-key="): "write --idempotency-key=KEY, or leave out",
            ("pay", "--amount=5", f"--idempotency-key={'x' * 256}"): "1003: ",
        }.items():
            done = run("call", target, *written, *user)
            assert (done.status, said in done.err) == (2, True), (written, done)
        assert PAID == [5, 5, 5]
        assert "--idempotency-key may be repeated" in run("call", target, "pay", "--help").out
    assert "--idempotency-key[=KEY]" in run("call", "--help").out
