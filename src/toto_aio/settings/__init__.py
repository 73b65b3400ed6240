"""The options of a service: ``Settings``, and where they come from."""

from toto_aio.settings.declaration import Option, Settings, SettingsError, describe_options
from toto_aio.settings.sources import read_settings

__all__ = ["Option", "Settings", "SettingsError", "describe_options", "read_settings"]
