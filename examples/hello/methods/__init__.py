"""The methods of the service. The built-in ones that are imported here are served too."""

from toto_aio.methods import account, client_error

__all__ = ["account", "client_error"]
