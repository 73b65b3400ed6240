"""Sessions that are kept from one command to the next: a file for each service, for its owner only.

They lie in ``$XDG_STATE_HOME/toto-aio/sessions``, by default ``~/.local/state/toto-aio/sessions``.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from toto_aio.cli.call.line import UsageError
from toto_aio.client import SessionCredentials

MAX_SIZE = 2**16
"""The most bytes of a file."""


class Kept(Struct, frozen=True):
    """The session of a user with the service at ``url``, and the scheme by which its requests are signed."""

    url: str
    signing: str
    user_id: str
    expires: float
    session_id: str
    key: str = ""

    @property
    def credentials(self) -> SessionCredentials:
        """The session as the client has it."""
        return SessionCredentials(self.session_id, self.user_id, self.expires, self.key)


def load(url: str) -> Kept | None:
    """The session with a service, if there is one.

    Raises ``UsageError`` for a file that others can read or have made.
    """
    path = _path(url)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}") from exc
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise UsageError(
                f"{path}: others can read or change it: chmod 600 it, or remove it and log in again"
            )
        data = file.read(MAX_SIZE)
    try:
        kept = msgspec.json.decode(data, type=Kept)
    except ValueError as exc:
        raise UsageError(f"{path}: not a session: remove it, and log in again") from exc
    return kept if kept.url == url else None


def keep(url: str, session: SessionCredentials, signing: str) -> None:
    """Keep a session, instead of the one before. Raises ``UsageError``."""
    path = _path(url)
    kept = Kept(url, signing, session.user_id, session.expires, session.session_id, session.key)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent)  # of mode 600
        try:
            with open(descriptor, "wb") as file:
                file.write(msgspec.json.encode(kept))
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
    except OSError as exc:
        raise UsageError(f"{path}: the session cannot be kept: {exc.strerror}") from exc


def forget(url: str) -> None:
    """Remove the session with a service."""
    _path(url).unlink(missing_ok=True)


def known_urls() -> list[str]:
    """The services that sessions are kept for."""
    urls: list[str] = []
    with suppress(OSError):
        for path in sorted(_folder().glob("*.json")):
            with suppress(OSError, ValueError):
                urls.append(msgspec.json.decode(path.read_bytes()[:MAX_SIZE], type=Kept).url)
    return urls


def _path(url: str) -> Path:
    """The file of a service, whose name tells people which one it is."""
    readable = re.sub(r"[^\w.-]+", "_", url.partition("://")[2], flags=re.ASCII)[:64]
    return _folder() / f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"


def _folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    # A path that is not absolute is to be ignored (XDG Base Directory Specification).
    base = Path(state) if os.path.isabs(state) else Path("~/.local/state").expanduser()
    return base / "toto-aio" / "sessions"
