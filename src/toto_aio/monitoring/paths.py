"""The paths of the service's own pages."""

from __future__ import annotations

from collections.abc import Collection

from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.urls import normal_path, root_path


def own_path(settings: Settings, methods: Collection[str], option: str, path: str, *pages: str) -> str:
    """A path with ``pages`` below it, with one slash in front and none behind.

    Raises ``SettingsError`` for what isn't a path, and for one that hides a method from calls by URL.
    """
    root = root_path(settings)
    normal = normal_path(option, path, "/health")
    if not normal:
        raise SettingsError(f"{option}: write a path such as /health, not {path!r}")
    for page in (f"{normal}{page}" for page in pages):
        method = page.removeprefix(f"{root}/").replace("/", ".")
        if page.startswith(f"{root}/") and method in methods and settings.method_select != "parameter":
            raise SettingsError(f"{option}: {page} is the method {method!r} already: choose another path")
    return normal
