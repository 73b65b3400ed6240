"""Tests of signatures: those of Toto's clients are accepted, and no others."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.examples import patient
from toto_aio.exceptions import InvalidHMAC
from toto_aio.signing import SCHEMES, Scheme, SignedRequest, Signer

# No deadline: the machine may be busy.
examples = settings(patient, max_examples=100)
texts = st.text(st.characters(exclude_categories=["Cs"]))

BODY = b'{"method": "echo", "parameters": {"a": 1}}'


def scheme() -> Scheme:
    """Toto's scheme, as the settings name it."""
    found = SCHEMES["user_id"]
    assert found is not None
    return found


def signature(key: bytes, message: bytes, algorithm: str = "sha1") -> str:
    """A signature, computed without toto_aio."""
    return base64.b64encode(hmac.new(key, message, algorithm).digest()).decode()


def low_bytes(text: str) -> bytes:
    """The low byte of each UTF-16 unit, which is what JavaScript's ``charCodeAt() & 0xff`` gives."""
    units: list[int] = []
    for point in map(ord, text):
        if point < 0x10000:
            units.append(point)
        else:
            units += [0xD800 + (point - 0x10000 >> 10), 0xDC00 + (point - 0x10000 & 0x3FF)]
    return bytes(unit & 0xFF for unit in units)


def is_accepted(body: bytes, given: str | None, user_id: str = "ada") -> bool:
    """Whether a request is accepted; if it is not, the error is 1008 with status 200."""
    error = None
    try:
        scheme().verify(SignedRequest(body, given), Signer("", user_id, b""))
    except InvalidHMAC as exc:
        error = exc
    assert error is None or (error.code, error.value, error.status) == (1008, "Invalid HMAC", 200)
    return error is None


def test_the_vector_of_the_rfc() -> None:
    """The second test case of RFC 2202, in base64, is what is sent and what is accepted."""
    message = b"what do ya want for nothing?"
    expected = base64.b64encode(bytes.fromhex("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")).decode()
    assert scheme().sign(SignedRequest(b"", None), Signer("", "Jefe", b""), message) == expected
    assert is_accepted(message, expected, "Jefe")


@examples
@given(st.binary(), texts)
def test_responses_are_signed_as_totos_clients_verify_them(body: bytes, user_id: str) -> None:
    """A response has the HMAC-SHA1 of its body, keyed with the user id; an anonymous one has none."""
    signed = scheme().sign(SignedRequest(BODY, None), Signer("", user_id, b""), body)
    assert signed == (signature(user_id.encode(), body) if user_id else None)


@examples
@given(st.binary(min_size=1), texts)
def test_the_right_signature_is_accepted(body: bytes, user_id: str) -> None:
    """The HMAC-SHA1 of the body's bytes is accepted, whatever the bytes are."""
    assert is_accepted(body, signature(user_id.encode(), body), user_id)


@pytest.mark.parametrize("body", [b"", BODY, b"\xff", "\u00e9".encode()])
def test_no_signature_is_demanded(body: bytes) -> None:
    """A request without a signature is accepted, with or without a body."""
    assert is_accepted(body, None)


@pytest.mark.parametrize("given", ["", "AAAA", "\u00e9", "\ud800", signature(b"ada", b"another")])
def test_a_signature_without_a_body_is_not_looked_at(given: str) -> None:
    """Toto's iOS client signs calls by query over a body that it never sends."""
    assert is_accepted(b"", given)


@pytest.mark.parametrize("given", [None, "", "AAAA", "\u00e9", signature(b"ada", BODY), signature(b"", BODY)])
def test_anonymous_sessions_are_not_signed(given: str | None) -> None:
    """An anonymous session has no key: its requests are accepted, and its responses are not signed."""
    assert is_accepted(BODY, given, user_id="")
    assert scheme().sign(SignedRequest(BODY, given), Signer("", "", b""), BODY) is None


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "=",
        "AAAA",
        signature(b"ada", b""),
        signature(b"ada", BODY + b" "),
        signature(b"ada", BODY[:-1]),
        signature(b"Ada", BODY),
        signature(b"bob", BODY),
        signature(b"", BODY),
        signature(b"ada", BODY, "sha256"),
        base64.b64encode(hashlib.sha1(b"ada" + BODY).digest()).decode(),  # noqa: S324
        hmac.new(b"ada", BODY, "sha1").hexdigest(),
        signature(b"ada", BODY)[:-1],
        signature(b"ada", BODY)[1:],
        signature(b"ada", BODY).rstrip("="),
        signature(b"ada", BODY) + "=",
        signature(b"ada", BODY) + "\0",
        signature(b"ada", BODY) + "\u00e9",
        signature(b"ada", BODY).swapcase(),
        f" {signature(b'ada', BODY)}",
        f"{signature(b'ada', BODY)}\n",
        f"{signature(b'ada', BODY)}, {signature(b'ada', BODY)}",
        "x" * 100_000,
    ],
    ids=lambda given: repr(given[:40]),
)
def test_any_other_signature_is_refused(given: str) -> None:
    """A signature that comes with a body must be right to the last character."""
    assert not is_accepted(BODY, given)


@pytest.mark.parametrize(
    "given", ["\u00e9", "\u2028" * 28, "\U0001f600", "\ud800", "\udcff\udc80", "\0", "\xff" * 28]
)
@pytest.mark.parametrize("body", [BODY, b"\xff", "\u00e9".encode()])
def test_signatures_that_are_not_ascii(given: str, body: bytes) -> None:
    """Text that cannot be base64 is a wrong signature and nothing worse."""
    assert not is_accepted(body, given)


@pytest.mark.parametrize(
    "text",
    ["caf\u00e9", "\u0141\u00f3d\u017a", "\U0001f600", "a\u2028b", "\U0010ffff\uffff\u0100", "\ufeff{}"],
)
def test_a_body_that_is_not_ascii_may_carry_either_signature(text: str) -> None:
    """Most clients sign its UTF-8; Toto's JavaScript client signs the low byte of each unit."""
    body = f'{{"text": "{text}"}}'
    assert is_accepted(body.encode(), signature(b"ada", body.encode()))
    assert is_accepted(body.encode(), signature(b"ada", low_bytes(body)))


@examples
@given(texts.filter(lambda text: not text.isascii()), texts.filter(bool))
def test_javascript_signatures_of_any_text(body: str, user_id: str) -> None:
    """What Toto's JavaScript client signs is accepted, for every body and user."""
    key = user_id.encode() if user_id.isascii() else low_bytes(user_id)
    assert is_accepted(body.encode(), signature(key, low_bytes(body)), user_id)


@pytest.mark.parametrize(
    "message",
    [
        "\u00e9\U0001f600".encode("utf-16-le"),
        "\u00e9\U0001f600".encode("utf-16-be"),
        "\u00e9\U0001f600".encode("utf-16"),
        "\u00e9\U0001f600".encode("utf-32-le"),
        "\u00e9\U0001f600".encode("utf-16-be")[::2],  # the high bytes
        bytes(ord(character) & 0xFF for character in "\u00e9\U0001f600"),  # of characters, not of units
        "\u00e9\U0001f600".encode("ascii", "replace"),
        "\u00e9\U0001f600".encode("ascii", "backslashreplace"),
        "e\u0301\U0001f600".encode(),  # the same text, decomposed
        b"",
    ],
    ids=repr,
)
def test_no_third_signature_is_accepted(message: bytes) -> None:
    """Other encodings of the body are not what was signed."""
    assert not is_accepted("\u00e9\U0001f600".encode(), signature(b"ada", message))


@pytest.mark.parametrize(
    "body", [b"\xff", b'{"a": "\xed\xa0\x80"}', b"\x80abc", b"\x82\xa1a\xc4\x02\xff\xfe"]
)
def test_bodies_that_are_no_text(body: bytes) -> None:
    """A binary body is signed as bytes, and a wrong signature for it is refused like any other."""
    assert is_accepted(body, signature(b"ada", body))
    assert not is_accepted(body, signature(b"ada", body + b"x"))
    assert not is_accepted(body, signature(b"ada", body.decode("latin-1").encode()))


@examples
@given(st.binary(min_size=1) | texts.filter(bool).map(str.encode), texts.filter(bool), st.data())
def test_a_changed_body_is_refused(body: bytes, user_id: str, data: st.DataObject) -> None:
    """With one byte changed anywhere, the signature no longer matches."""
    at = data.draw(st.integers(0, len(body) - 1))
    changed = bytes([*body[:at], body[at] ^ data.draw(st.integers(1, 255)), *body[at + 1 :]])
    assert not is_accepted(changed, signature(user_id.encode(), body), user_id)


@examples
@given(st.binary(min_size=1), texts.filter(bool), texts.filter(bool))
def test_the_signature_of_another_user_is_refused(body: bytes, user_id: str, other: str) -> None:
    """Another user's signature for the same body does not match."""
    # HMAC pads a key with zeros; and the low bytes of an id may be those of another.
    keys = {key(user_id).rstrip(b"\0") for key in (str.encode, low_bytes)}
    assume(other.encode().rstrip(b"\0") not in keys)
    assert not is_accepted(body, signature(other.encode(), body), user_id)


def test_signing_can_be_off() -> None:
    """The table also has a name for no scheme."""
    assert SCHEMES["off"] is None
