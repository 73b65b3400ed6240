"""Events, sent from any call and received by any other."""

from toto_aio.events.manager import EventManager, Registration
from toto_aio.events.subscription import Lagged, Subscription

__all__ = ["EventManager", "Lagged", "Registration", "Subscription"]
