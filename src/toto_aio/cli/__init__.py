"""The command line: ``toto-aio COMMAND``."""
