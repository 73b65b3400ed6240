"""Accounts: create one, log in and out, change it, list and end its sessions.

``__all__`` is what ``from toto_aio.methods import account`` brings. The other methods here are served only
by a package that imports them by name: ``from toto_aio.methods.account import ...`` in its own ``account``.
"""

from toto_aio.methods.account import create, login, logout, revoke, revoke_all, sessions, update

__all__ = ["create", "login", "logout", "revoke", "revoke_all", "sessions", "update"]
