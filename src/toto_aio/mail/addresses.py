"""Addresses of mail that clients send.

``email-validator`` reads them, and not a pattern of ours: domains in any script (IDNA 2008), lengths,
reserved domains and the letters that mail servers refuse are more than a pattern holds. It asks no DNS here.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from toto_aio.exceptions import InvalidParameters
from toto_aio.importer import Extra

MAIL_EXTRA = Extra("mail needs libraries", "'toto-aio[mail]'")
MAX_ADDRESS = 254
"""The most characters of an address (RFC 5321, 4.5.3.1.3, without the angle brackets)."""


class Address(NamedTuple):
    """An address: ``text`` is what mail is sent to, in ASCII; ``key`` is the same in upper and lower case."""

    text: str
    key: str


def read_address(text: object, name: str = "email") -> Address:
    """The address that a client has sent, as the parameter ``name``.

    Upper and lower case are one address, as they are at every provider; the mail goes to what was written.
    Letters beyond ASCII are for domains only: in front of the @ few servers accept them. Raises
    ``InvalidParameters``, which does not repeat the address.
    """
    from email_validator import (  # a library of the extra, here as few need it
        EmailNotValidError,
        validate_email,
    )

    if not isinstance(text, str) or len(text) > MAX_ADDRESS:
        raise InvalidParameters(f"{name}: write an address of at most {MAX_ADDRESS} characters.")
    try:
        found = validate_email(text, check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError:
        raise InvalidParameters(f"{name}: write an address such as ada@example.org.") from None
    plain = found.ascii_email
    if plain is None or len(plain) > MAX_ADDRESS:
        raise InvalidParameters(f"{name}: write an address of at most {MAX_ADDRESS} characters.")
    return Address(plain, hashlib.sha256(plain.lower().encode()).hexdigest())


def masked(address: str) -> str:
    """An address for the log: enough to find a mail at the server, and not whom it belongs to."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"
