"""The methods of project_name. Methods of toto_aio that are imported here are served too."""

from toto_aio.methods import account

__all__ = ["account"]
