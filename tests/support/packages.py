"""Packages that a test writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Package = Callable[[Mapping[str, str]], str]
"""Writes a package from the texts of its files, and returns its name: the fixture ``package``."""
