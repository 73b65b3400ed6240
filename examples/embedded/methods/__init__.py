"""The methods of the service in the site: its own, and those of accounts."""

from toto_aio.methods import account

__all__ = ["account"]
