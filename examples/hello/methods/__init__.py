"""The methods of the service, including the built-in methods that are imported here."""

from toto_aio.methods import account, client_error

__all__ = ["account", "client_error"]
