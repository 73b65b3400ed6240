"""``toto-aio openapi``: the OpenAPI document of a service, without a server or a database."""

from __future__ import annotations

import msgspec

from toto_aio.codecs.json_codec import JSON
from toto_aio.contract.openapi import openapi
from toto_aio.registry import functions_of
from toto_aio.settings import Settings
from toto_aio.settings.urls import root_path


def describe(settings: Settings) -> str:
    """The document of all methods and channels, as JSON for people and for version control.

    Raises ``SettingsError``, or what the import of a module raises.
    """
    functions = functions_of(settings)
    document = JSON.encode(openapi(functions, settings, root_path(settings)))
    return msgspec.json.format(document).decode() + "\n"
