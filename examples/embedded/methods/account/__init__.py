"""The methods of accounts that the site offers."""

from toto_aio.methods.account import change_email, create, login, logout, totp, verify_email

__all__ = ["change_email", "create", "login", "logout", "totp", "verify_email"]
