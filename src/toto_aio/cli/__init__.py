"""The command line ``toto-aio COMMAND``: one module for each command of its own."""
