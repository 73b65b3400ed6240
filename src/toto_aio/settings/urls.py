"""Options that are URLs or paths."""

from __future__ import annotations

from typing import Any

from toto_aio.settings.declaration import Settings, SettingsError


def scheme_of(url: Any) -> str:
    """The scheme of a URL, or the bare name that stands for one, such as ``mysql``; "" for an object."""
    return url.partition("://")[0] if isinstance(url, str) else ""


def require_shared(option: str, url: Any) -> None:
    """Raise ``SettingsError`` for a database that several processes would not share."""
    if scheme_of(url) == "memory":
        raise SettingsError(
            f"{option}: each process would have a memory:// of its own: write sqlite:///toto.db"
        )


def without_password(url: str) -> str:
    """The part of a URL that can be shown without revealing a password."""
    if not set(url) & set("@?"):
        return url
    scheme, separator, _ = url.partition("://")
    return f"{scheme}://***" if separator and scheme.replace("+", "").isalnum() else "***"


def root_path(settings: Settings) -> str:
    """The path of the service, with one slash in front and none behind; "" if it is the root of the site."""
    return normal_path("root", settings.root, "/service")


def normal_path(option: str, path: str, example: str) -> str:
    """A path with one leading slash and no trailing one; "" for the root.

    Raises ``SettingsError``, which names the ``option`` and an ``example``, for characters that a path of a
    service cannot have.
    """
    path = path.strip("/")
    if set(path) & set("{}?#"):
        raise SettingsError(f"{option}: write a path such as {example}, not {path!r}")
    return f"/{path}" if path else ""
