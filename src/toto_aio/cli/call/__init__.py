"""``toto-aio call``: a method from the shell, of a service that runs or of the one in this folder."""
