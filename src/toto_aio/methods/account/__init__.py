"""Accounts: create one, log in and out, change it, list and end its sessions."""

from toto_aio.methods.account import api_keys, create, login, logout, revoke, revoke_all, sessions, update

__all__ = ["api_keys", "create", "login", "logout", "revoke", "revoke_all", "sessions", "update"]
