"""User ids have one form: what looks the same is the same, and nothing of an id is invisible."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import patient
from toto_aio.auth.user_ids import _UNSEEN, former_user_id, known_as, new_user_id, normal_user_id
from toto_aio.exceptions import InvalidParameters, InvalidUserID

LOOK_LIKE_ADMIN = [
    "Admin", "admin ", "  admin", "\u3000admin\u00a0", "ad\u034fmin", "admin\U000e0100", "admin\uffa0",
    "a\u17b4dmin", "\u180badmin", "admin\u2800", "\u2800\u2800admin", "\uff41dmin", "ad\u1d50in",
    "adm\u0130n", "adm\u0069\u0307n", "adm\u0131\u0307n", "\ufeffadmin", "ad\u00admin", "ad\u200bmin",
    "\u202eadmin", "admin\U000e0001", "admin\ufe0f", "admin\u3164", "a\u115f\u1160dmin", "admin\U0001d173",
    "adm\u0130\u0307\u0307n", "\u2800 \U000e0100admin \u180e ", "\U0001d41a\U0001d41dmin", "admin\U0001d159",
]  # fmt: skip
NOTHING_TO_SEE = [
    "", " ", "\u2800", "\u3164", "\uffa0\u115f", "\u034f", "\u200b", "\U000e0100", " \u2800 \u3000", "\ufeff",
]  # fmt: skip
"""Ids in which nobody sees anything."""
NOT_ALL_SEEN = ["a\nb", "a\x00", "\x1b[31m", "a\x7f", "a\tb", "\nada", "a\u2028b", "a\u1680b", "\ue000"]
"""Ids with control characters, separators that aren't spaces, and characters without a meaning."""
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text(
    st.sampled_from(
        "aAiI\u0130\u0131\u0307\u0323\u0301\u03a3\u03c3\u017f\u00df\u2800 \u00a0\u034f\u200dK\u1e9e\ufdfa"
        "\u0345\u0399"
    ),
    max_size=40,
)


def test_what_looks_the_same_is_the_same() -> None:
    """No way to write an id that looks like another one makes an id of its own."""
    for text in LOOK_LIKE_ADMIN:
        assert normal_user_id(text) == new_user_id(text) == "admin", ascii(text)


def test_what_looks_different_is_different() -> None:
    """Spaces within, accents, and letters of other scripts stay; compositions are one character."""
    kept = ["a b", "\u00e4bc", "stra\u00dfe", "\u0430\u0434\u0430", "a@example.org", "a.b/c\\d'e\"f;--%_"]
    for text in (*kept, "\U0001f98a", "\u0131\u015f\u0131k"):
        assert normal_user_id(text) == text, ascii(text)
    assert normal_user_id("Jose\u0301") == "jos\u00e9"
    assert normal_user_id("\u212a\u017fA") == "ksa"


def test_no_account_is_invisible() -> None:
    """Such an id is refused when an account is created."""
    for text in (*NOTHING_TO_SEE, *NOT_ALL_SEEN):
        with pytest.raises(InvalidUserID):
            new_user_id(text)


def test_every_ignorable_character_goes() -> None:
    """None of Unicode's default-ignorable characters, format characters among them, is left in an id."""
    assert len(_UNSEEN) == 4174 + 5  # as in DerivedCoreProperties.txt, and the blank ones
    for code in _UNSEEN:
        assert normal_user_id(f"a{chr(code)}") == "a", hex(code)


@patient
@given(texts)
def test_the_form_is_stable(text: str) -> None:
    """An id in normal form stays as it is, in either case and in every form of Unicode."""
    normal = normal_user_id(text)
    assert normal_user_id(normal) == normal
    if len(normal) <= 255:
        assert known_as(normal) == (normal,)  # so no second look-up is needed
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            if len(other := unicodedata.normalize(form, normal)) <= 255:
                assert normal_user_id(other) == normal, form


def test_every_character_is_stable() -> None:
    """The normal form of each character of Unicode, alone and between others, is its own normal form."""
    for character in map(chr, (*range(0xD800), *range(0xE000, 0x30000), *range(0xE0000, 0xE0200))):
        if character.isalpha() and character == character.lower() == unicodedata.normalize("NFKD", character):
            continue  # most of the letters there are, which nothing changes
        for text in (character, f"\u0131{character}\u0307"):
            normal = normal_user_id(text)
            assert normal_user_id(normal) == normal, ascii(text)


def test_the_former_form() -> None:
    """An id whose form has changed is also known as what version 0.1 stored; others need one look-up."""
    for text in ("ada", "Ada", "A@Example.org", "\u00e4da", "GR\u00dc\u00dfE", "\u0430"):
        assert known_as(text) == (text.lower(),), ascii(text)
    assert known_as("\uff21dmin") == ("\uff41dmin", "admin")
    assert known_as("Ada ") == ("ada ", "ada")
    assert known_as("\u0130da") == ("i\u0307da", "ida")
    assert former_user_id("\u0130da") == "i\u0307da"


def test_the_length() -> None:
    """255 characters may be sent and 255 bytes stored; what fits in one of the two forms is known by it."""
    assert len(new_user_id("\u00e9" * 127 + "a").encode()) == 255
    assert new_user_id("e\u0301" * 127) == "\u00e9" * 127  # more bytes than that as it is sent
    assert known_as("e\u0301" * 127) == ("\u00e9" * 127,)  # the other one is too long to be stored
    for text in ("a" * 256, "\u00e9" * 128, "\ufdfa" * 100, "a" * 1_000_000):
        with pytest.raises(InvalidParameters, match="255 bytes"):
            new_user_id(text)
    assert known_as("\ufdfa" * 80) == ("\ufdfa" * 80,)
    with pytest.raises(InvalidParameters, match="255 bytes"):
        new_user_id("\ufdfa" * 80)
