"""A client of a service, for programs in Python."""

from toto_aio.client.client import Client
from toto_aio.client.protocol import Answer, Session, UnreadableAnswerError
from toto_aio.client.socket import ClientSocket

__all__ = ["Answer", "Client", "ClientSocket", "Session", "UnreadableAnswerError"]
