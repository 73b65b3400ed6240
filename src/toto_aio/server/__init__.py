"""Runs a service: its listening sockets, the master and its workers, graceful shutdown, and the background.

An application that embeds the service needs none of this: see ``toto_aio.create_app``.
"""
