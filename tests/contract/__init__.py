"""Tests of what is derived from methods."""
