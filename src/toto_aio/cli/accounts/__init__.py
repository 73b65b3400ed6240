"""``toto-aio accounts``: the accounts of a service and their sessions, for those who run it."""
