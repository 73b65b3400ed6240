"""``toto-aio openapi``: the OpenAPI document of a service, without a server or a database."""

from __future__ import annotations

import msgspec

from toto_aio.codecs.json_codec import JSON
from toto_aio.contract.openapi import openapi
from toto_aio.registry import methods_of
from toto_aio.settings import Settings
from toto_aio.settings.urls import root_path


def describe(settings: Settings) -> str:
    """The document of all methods, as JSON for people and for version control.

    Raises ``SettingsError``, or what the import of a module raises.
    """
    methods = methods_of(settings)
    document = JSON.encode(openapi(methods, settings, root_path(settings)))
    return msgspec.json.format(document).decode() + "\n"
