"""User ids, in the one form in which they are stored: ids that look the same are the same.

The form is NFKC and lower case, without characters that nobody sees and without spaces at the ends. Version
0.1 only made ids lower case, so accounts of that time may have ids in another form.
"""

from __future__ import annotations

import re
import unicodedata

from toto_aio.auth.text import require_text
from toto_aio.exceptions import InvalidParameters, InvalidUserID

MAX_USER_ID = 255
"""The most bytes of a user id in UTF-8, as it is stored; and the most characters, as it is sent."""
ROUNDS = 4
"""How often the steps are repeated until nothing changes. No text is known that needs more than two."""


def new_user_id(user_id: object) -> str:
    """The id of a new account. Raises ``InvalidUserID`` if nothing of it can be seen, or not all of it."""
    _, normal = _forms(user_id)
    if len(normal.encode()) > MAX_USER_ID:
        raise _too_long()
    if not normal or not normal.isprintable():  # unassigned characters are not: their form may yet change
        raise InvalidUserID
    return normal


def normal_user_id(user_id: object) -> str:
    """A user id in its normal form. Raises ``InvalidParameters`` for a wrong type or length."""
    return known_as(user_id)[-1]


def known_as(user_id: object) -> tuple[str, ...]:
    """The ids under which an account may be stored: that of version 0.1, if it differs, and the normal one.

    The older one counts first. It is exactly what the client has sent, except for upper case: if the normal
    one came first, whoever creates the account ``ada`` would take the place of an older one, ``"ada "``.
    Raises ``InvalidParameters`` for a wrong type or length.
    """
    fitting = [one for one in dict.fromkeys(_forms(user_id)) if len(one.encode()) <= MAX_USER_ID]
    if not fitting:
        raise _too_long()
    return tuple(fitting)


def former_user_id(user_id: str) -> str:
    """A user id as version 0.1 has stored it. The ids of all accounts are in this form."""
    return user_id.lower()


def exact_user_id(user_id: object) -> str:
    """The id of an account, given as it is stored, except for upper case: for what can't be undone.

    Raises ``InvalidParameters`` for a wrong type or length.
    """
    text = former_user_id(require_text("user_id", user_id))
    if len(text.encode()) > MAX_USER_ID:
        raise _too_long()
    return text


def _forms(user_id: object) -> tuple[str, str]:
    text = require_text("user_id", user_id)
    if len(text) > MAX_USER_ID:  # a longer text isn't worth the work
        raise _too_long()
    former = former_user_id(text)
    return former, former.strip(" ") if text.isascii() else _normal(text)


def _normal(text: str) -> str:
    for _ in range(ROUNDS):
        before = text
        text = unicodedata.normalize("NFKC", text).translate(_UNSEEN).lower()
        text = _DOTTED.sub(_without_dot, unicodedata.normalize("NFKC", text)).strip(" ")
        if text == before:
            break
    return text


def _without_dot(found: re.Match[str]) -> str:
    return _DOTTED_FORMS.get(found[1], found[1])


def _too_long() -> InvalidParameters:
    return InvalidParameters(f"user_id must have at most {MAX_USER_ID} bytes.")


_IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties.txt), which Python's unicodedata lacks."""
_BLANK = "\u2800\U0001d159\U00013441\U00013442\U00016fe4"
"""Characters that are neither spaces nor ignorable, and yet have no ink."""
_UNSEEN = {
    **{code: None for first, last in _IGNORABLE for code in range(first, last + 1)},
    **{ord(character): " " for character in _BLANK},
}
_DOTTED_FORMS = {"\u0131": "i", "\u0237": "j"}
_DOTTED = re.compile("([ij\u012f\u0249\u0268\u029d\u03f3\u0456\u0458\u1d96\u1e2d\u1ecb\u0131\u0237])\u0307+")
"""Letters that have a dot anyway (Soft_Dotted), or are made with one: a second dot can't be seen."""
