"""A client of a service, for programs in Python: calls over HTTP and WebSockets, with a user's session."""

from toto_aio.client.client import Client
from toto_aio.client.protocol import Response, SessionCredentials, UnreadableResponseError
from toto_aio.client.socket import ClientSocket
from toto_aio.client.subscription import ClientSubscription, Publication

__all__ = [
    "Client",
    "ClientSocket",
    "ClientSubscription",
    "Publication",
    "Response",
    "SessionCredentials",
    "UnreadableResponseError",
]
