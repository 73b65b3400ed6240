"""The methods of project_name. Those of toto_aio that are imported here are served too."""

from toto_aio.methods import account

__all__ = ["account"]
