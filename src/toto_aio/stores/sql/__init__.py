"""Accounts and sessions in SQL databases."""
