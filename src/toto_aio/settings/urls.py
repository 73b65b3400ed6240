"""URLs and paths among the options."""

from __future__ import annotations

from toto_aio.settings.declaration import SettingsError


def without_password(url: str) -> str:
    """As much of a URL as can be shown."""
    if not set(url) & set("@?"):
        return url
    scheme, separator, _ = url.partition("://")
    return f"{scheme}://***" if separator and scheme.replace("+", "").isalnum() else "***"


def normal_path(option: str, path: str, example: str) -> str:
    """A path with one slash in front and none behind, "" for the root.

    Raises ``SettingsError`` that names the ``option`` and an ``example`` for what a path cannot have.
    """
    path = path.strip("/")
    if set(path) & set("{}?#"):
        raise SettingsError(f"{option}: write a path such as {example}, not {path!r}")
    return f"/{path}" if path else ""
