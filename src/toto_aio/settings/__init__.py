"""The options of a service: their declaration, ``Settings``, and the sources that they are read from."""

from toto_aio.settings.declaration import Settings, SettingsError
from toto_aio.settings.options import Option, describe_options
from toto_aio.settings.sources import read_settings

__all__ = ["Option", "Settings", "SettingsError", "describe_options", "read_settings"]
