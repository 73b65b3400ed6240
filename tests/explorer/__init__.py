"""Tests of the explorer, in a browser as far as nothing less shows it."""
