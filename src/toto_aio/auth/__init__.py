"""Accounts, passwords, sessions and login attempts, and the caller that they belong to."""
