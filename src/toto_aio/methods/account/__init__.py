"""Accounts: create one, log in and out, change it."""

from toto_aio.methods.account import create, login, logout, update

__all__ = ["create", "login", "logout", "update"]
