"""Passwords are hashed with argon2id, Toto's hashes are understood, and the event loop is never blocked."""

from __future__ import annotations

import asyncio
import base64
import hmac
import unicodedata
from contextlib import closing
from typing import Any

import argon2
import pytest

from tests.support.limits import real_passwords
from toto_aio.auth.passwords import MAX_BYTES, MAX_CHARACTERS, Match, Passwords, decoy, opaque


def quick() -> closing[Passwords]:
    """Passwords whose hashes cost almost nothing, closed at the end."""
    return closing(Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)))


def toto_hash(password: bytes, salt: str, iterations: int | None = None) -> str:
    """A hash in Toto's format: PBKDF2-HMAC-SHA1 (RFC 8018) by hand, its 24 bytes in base64 with ``./``."""
    head = f"$p5k2${'' if iterations is None else f'{iterations:x}'}${salt}"
    key = b""
    for block in (1, 2):  # of 20 bytes each
        digest = hmac.digest(password, head.encode() + block.to_bytes(4, "big"), "sha1")
        total = int.from_bytes(digest, "big")
        for _ in range((400 if iterations is None else iterations) - 1):
            digest = hmac.digest(password, digest, "sha1")
            total ^= int.from_bytes(digest, "big")
        key += total.to_bytes(20, "big")
    text = base64.b64encode(key[:24]).decode().replace("+", ".")
    return f"{head}${text}"


async def test_the_right_password_and_no_other() -> None:
    """A password verifies against its own hash, and similar passwords do not."""
    with quick() as passwords:
        stored = await passwords.hash("correct horse")
        assert await passwords.verify("correct horse", stored)
        for wrong in ("", "correct horsf", "Correct horse", "correct horse ", "correct horse\0", "correct"):
            assert not await passwords.verify(wrong, stored)


async def test_hashes_are_argon2id_of_the_promised_parameters() -> None:
    """A new hash is argon2id with m=19456, t=2, p=1, and argon2 itself verifies it."""
    with real_passwords(), closing(Passwords()) as passwords:
        stored = await passwords.hash("correct horse")
        assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert argon2.PasswordHasher().verify(stored, "correct horse")


async def test_each_hash_has_a_salt_of_its_own() -> None:
    """The same password gives a different hash each time."""
    with quick() as passwords:
        assert await passwords.hash("correct horse") != await passwords.hash("correct horse")


@pytest.mark.parametrize(
    "password",
    ["p\u00e4ssw\u00f6rd", "\U0001f600" * 8, "nul\0in the middle", "\0" * 8, "x" * MAX_BYTES, " " * 8],
)
async def test_any_text_can_be_a_password(password: str) -> None:
    """Text beyond ASCII, with NULs, and of the maximum length is hashed in full."""
    with quick() as passwords:
        stored = await passwords.hash(password)
        assert await passwords.verify(password, stored)
        assert not await passwords.verify(password[:-1], stored)
        assert not await passwords.verify(password + "\0", stored)


async def test_a_nul_does_not_end_a_password() -> None:
    """Characters after a NUL count."""
    with quick() as passwords:
        stored = await passwords.hash("correct\0horse")
        for wrong in ("correct", "correct\0", "correct\0house", "correcthorse", "correct horse"):
            assert not await passwords.verify(wrong, stored)


async def test_no_account_has_no_password() -> None:
    """For an unknown user every password is wrong."""
    with quick() as passwords:
        assert not await passwords.verify("correct horse", None)
        assert not await passwords.verify("", None)


def test_a_decoy_is_verified_like_a_hash() -> None:
    """It has the form and the parameters of a real hash, and is another one each time; nothing fits it."""
    for hasher in (argon2.PasswordHasher(), argon2.PasswordHasher(1, 8, 1, hash_len=24, salt_len=9)):
        made, real = decoy(hasher), hasher.hash("")
        assert argon2.extract_parameters(made) == argon2.extract_parameters(real)
        assert (len(made), hasher.check_needs_rehash(made)) == (len(real), False)
        with pytest.raises(argon2.exceptions.VerifyMismatchError):  # a malformed one is refused at once
            hasher.verify(made, "")
        assert made != decoy(hasher)


async def test_a_password_that_is_too_long_is_wrong() -> None:
    """A password of more than 1,024 bytes is wrong, even if it, or its beginning, was hashed."""
    with quick() as passwords:
        too_long = "x" * (MAX_BYTES + 1)
        assert not await passwords.verify(too_long, await passwords.hash(too_long))
        assert not await passwords.verify(too_long, await passwords.hash(too_long[:MAX_BYTES]))
        assert not await passwords.verify(too_long, toto_hash(too_long.encode(), "saltsalt", 2))
        assert not await passwords.verify(too_long, toto_hash(too_long[:MAX_BYTES].encode(), "saltsalt", 2))
        assert not await passwords.verify("x" * 1_000_000, None)


async def test_text_that_is_no_unicode_is_a_wrong_password() -> None:
    """Half of a surrogate pair is just a wrong password."""
    with quick() as passwords:
        assert not await passwords.verify("\ud800 horse", await passwords.hash("correct horse"))
        assert not await passwords.verify("\ud800 horse", None)


async def test_outdated_hashes() -> None:
    """A hash with other parameters is outdated, and so is Toto's; one with the same is not."""
    with quick() as passwords, real_passwords(), closing(Passwords()) as stronger:
        stored = await passwords.hash("correct horse")
        assert await passwords.verify("correct horse", stored) is Match.RIGHT
        assert await stronger.verify("correct horse", stored) is Match.OUTDATED
        assert await passwords.verify("correct horse", await stronger.hash("correct horse")) is Match.OUTDATED
        of_toto = toto_hash(b"correct horse", "saltsalt")
        assert await passwords.verify("correct horse", of_toto) is Match.OUTDATED
        assert await stronger.verify("wrong", stored) is Match.NONE


NFC, NFD = "p\u00e4ssw\u00f6rd \u00e9", "pa\u0308sswo\u0308rd\u3000e\u0301"
"""The same keys, as one system sends them and as another does."""


async def test_passwords_are_compared_in_nfc() -> None:
    """Composed or decomposed, with any space: it is the same password. Nothing else is mapped."""
    with quick() as passwords:
        for set_as in (NFC, NFD):
            stored = await passwords.hash(set_as)
            for sent in (NFC, NFD, NFC.replace(" ", "\u00a0"), NFD.replace("\u3000", "\u2003")):
                assert await passwords.verify(sent, stored) is Match.RIGHT, ascii(sent)
            for other in (
                NFC.upper(),
                NFC.replace("p", "\uff50"),
                NFC + "\u200b",
                NFC + " ",
                NFC.replace(" ", "\t"),
            ):
                assert await passwords.verify(other, stored) is Match.NONE, ascii(other)


async def test_hashes_of_what_was_not_in_nfc() -> None:
    """A hash from before version 0.2, and Toto's, verifies as it was sent then, and is outdated."""
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with quick() as passwords:
        for stored in (hasher.hash(NFD), toto_hash(NFD.encode(), "saltsalt", 2)):
            assert await passwords.verify(NFD, stored) is Match.OUTDATED
            assert await passwords.verify(NFC, stored) is Match.NONE  # which nobody can know
        for stored in (hasher.hash(NFC), toto_hash(NFC.encode(), "saltsalt", 2)):
            assert await passwords.verify(NFD, stored)
            assert await passwords.verify(NFD + "x", stored) is Match.NONE


async def test_unknown_users_cost_as_many_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a wrong password costs depends on the text that was sent, not on what is stored for the user."""
    with quick() as passwords:
        hashes = 0
        original = argon2.PasswordHasher.verify

        def counted(*args: Any) -> Any:
            nonlocal hashes
            hashes += 1
            return original(*args)

        monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
        of_toto = toto_hash(b"correct horse", "saltsalt", 2)
        kinds = (None, await passwords.hash("correct horse"), of_toto, "broken")
        for sent, expected in (("wrong horse", 1), (NFC, 1), (NFD, 2)):
            for stored in kinds:
                hashes = 0
                assert not await passwords.verify(sent, stored)
                assert hashes == expected, (sent, stored)


def test_no_longer_text_fits() -> None:
    """No character of Unicode becomes so short in NFC that a text of the most characters could be hashed."""
    for character in map(chr, (*range(0xD800), *range(0xE000, 0x30000))):
        parts = unicodedata.normalize("NFD", character)
        shortest = min(len(opaque(character).encode()), len(unicodedata.normalize("NFC", parts).encode()))
        assert len(parts) * MAX_BYTES < shortest * MAX_CHARACTERS, hex(ord(character))


@pytest.mark.parametrize(
    ("password", "stored"),
    [
        ("cloadm", "$p5k2$$exec$r1EWMCMk7Rlv3L/RNcFXviDefYa0hlql"),
        ("gnu", "$p5k2$c$u9HvcT4d$Sd1gwSVCLZYAuqZ25piRnbBEoAesaa/g"),
        ("dcl", "$p5k2$d$tUsch7fU$nqDkaxMDOFBeJsTSfABsyn.PYUXilHwL"),
        ("\u0399\u03c9\u03b1\u03bd\u03bd\u03b7\u03c2", "$p5k2$$KosHgqNo$9mjN8gqjt02hDoP0c2J0ABtLIwtot8cQ"),
    ],
)
async def test_the_vectors_of_totos_library(password: str, stored: str) -> None:
    """The hashes in the tests of PBKDF2.py, which Toto included, verify."""
    with quick() as passwords:
        assert await passwords.verify(password, stored)
        assert not await passwords.verify(password + "x", stored)
        assert not await passwords.verify(password, stored[:-1] + ("A" if stored[-1] != "A" else "B"))


@pytest.mark.parametrize("iterations", [None, 1, 15, 16, 400, 1000])
@pytest.mark.parametrize("salt", ["8charslt", "", "./ABCxyz", "s" * 40])
async def test_hashes_of_toto_verify(iterations: int | None, salt: str) -> None:
    """A hash made by hand in Toto's format verifies, with hexadecimal iterations or, for 400, none."""
    with quick() as passwords:
        stored = toto_hash("p\u00e4ssword".encode(), salt, iterations)
        assert await passwords.verify("p\u00e4ssword", stored)
        assert not await passwords.verify("password", stored)
        assert not await passwords.verify("", stored)


async def test_empty_iterations_mean_400() -> None:
    """No iterations and hexadecimal 190 both mean 400, but each is part of what salts the hash."""
    with quick() as passwords:
        none, named = toto_hash(b"correct horse", "saltsalt"), toto_hash(b"correct horse", "saltsalt", 400)
        assert named.startswith("$p5k2$190$")
        assert none.rpartition("$")[2] != named.rpartition("$")[2]
        assert await passwords.verify("correct horse", none)
        assert not await passwords.verify("correct horse", none.replace("$p5k2$$", "$p5k2$190$"))


ARGON2 = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$t5QLzMlfSPLMezb1X/hRw1bKTTpryM1JhqBpLyqseOw"
"""The hash of "correct horse"."""


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "$",
        "plain text",
        "correct horse",
        "\u00e9",
        "\ud800",
        "\0",
        "$2b$12$abcdefghijklmnopqrstuv",
        "$argon2",
        "$argon2id$",
        "$argon2id$\u00e9",
        "$argon2id$\0",
        "$argon2id$v=19$m=1,t=1,p=1$a$b",
        ARGON2[:-3],
        ARGON2 + "\u00e9",
        ARGON2 + "\ud800",
        ARGON2.replace("$m=8", "$m=4294967295"),
        ARGON2.replace("t=1", "t=0"),
        ARGON2.replace("v=19", "v=1"),
        ARGON2.replace("argon2id", "argon2xx"),
        "$p5k2$",
        "$p5k2$$",
        "$p5k2$$$",
        "$p5k2$$salt",
        "$p5k2$$salt$",
        "$p5k2$zz$saltsalt$" + "." * 32,
        "$p5k2$0$saltsalt$" + "." * 32,
        "$p5k2$-1$saltsalt$" + "." * 32,
        "$p5k2$1.5$saltsalt$" + "." * 32,
        "$p5k2$ffffffffffffffffffff$saltsalt$" + "." * 32,
        "$p5k2$$saltsalt$\u00e9",
        "$p5k2$$saltsalt$\ud800",
        "$p5k2$$\ud800$" + "." * 32,
        "$p5k2$\u0661$saltsalt$" + "." * 32,
    ],
    ids=ascii,
)
async def test_a_malformed_hash_fits_nothing(stored: str) -> None:
    """A malformed hash verifies no password, and raises nothing."""
    with quick() as passwords:
        assert not await passwords.verify("correct horse", stored)
        assert not await passwords.verify("", stored)


def slow() -> closing[Passwords]:
    """Passwords that take a tenth of a second each, in which an idle loop makes thousands of iterations."""
    return closing(Passwords(argon2.PasswordHasher(time_cost=8, memory_cost=19456, parallelism=1)))


async def turns_of_the_loop(work: asyncio.Task[Any]) -> int:
    """How many iterations the loop makes until the work is done; work on the loop itself takes only one."""
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


@pytest.mark.parametrize("kind", ["none", "argon2", "toto"])
async def test_the_loop_goes_on_while_a_password_is_verified(kind: str) -> None:
    """Other work continues in the same loop, whichever kind of hash is verified."""
    with slow() as passwords:
        stored = {
            "none": None,
            "argon2": await passwords.hash("correct horse"),
            "toto": toto_hash(b"correct horse", "saltsalt"),
        }[kind]
        verifying = asyncio.create_task(passwords.verify("correct horse", stored))
        assert await turns_of_the_loop(verifying) > 10
        assert bool(await verifying) is (stored is not None)


async def test_the_loop_goes_on_while_a_password_is_hashed() -> None:
    """Hashing does not block the loop either."""
    with slow() as passwords:
        assert await turns_of_the_loop(asyncio.create_task(passwords.hash("correct horse"))) > 10


async def test_many_at_once() -> None:
    """A burst of logins is processed, each with its own result."""
    with quick() as passwords:
        stored = [await passwords.hash(f"password {number}") for number in range(5)]
        answers = await asyncio.gather(
            *(passwords.verify(f"password {number % 7}", stored[number % 5]) for number in range(70))
        )
        assert list(map(bool, answers)) == [number % 7 == number % 5 for number in range(70)]
