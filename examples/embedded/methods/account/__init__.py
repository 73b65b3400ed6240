"""The methods of accounts that the site offers."""

from toto_aio.methods.account import create, login, logout, totp, verify_email

__all__ = ["create", "login", "logout", "totp", "verify_email"]
