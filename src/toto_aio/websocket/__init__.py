"""Calls over WebSockets."""
