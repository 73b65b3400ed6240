"""How much a store does in one operation for a user who has very many sessions."""

PORTION = 1000
"""Sessions that are ended, and expired entries that are dropped, in one operation."""
SURPLUS = 100
"""The most keys that ``surplus_sessions`` returns."""
