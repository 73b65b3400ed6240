"""Tests of ``toto-aio call``."""
