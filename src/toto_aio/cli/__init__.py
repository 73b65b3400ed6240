"""The command line ``toto-aio COMMAND``: ``main``, and a module for each command with code of its own."""
