"""Events, sent from any call and received by any other."""

from toto_aio.events.manager import EventManager
from toto_aio.events.registration import Registration
from toto_aio.events.subscription import Lagged, Subscription

__all__ = ["EventManager", "Lagged", "Registration", "Subscription"]
