"""``TotoServer``: a service in its own processes, started by a script."""

from __future__ import annotations

import os
import sys
from typing import Any

from toto_aio.server.flags import read_arguments
from toto_aio.settings import SettingsError
from toto_aio.settings.sources import Sources


class TotoServer:
    """A server with options from keyword arguments, a file, the environment and the command line.

        TotoServer("toto.toml", port=9000).run()

    Each source overrides the one before. A wrong option ends the process with one line that says what to
    write instead. ``run`` also obeys ``--start``, ``--stop``, ``--restart`` and ``--status`` on the command
    line.
    """

    def __init__(self, conf_file: str | os.PathLike[str] | None = None, **options: Any) -> None:
        try:
            self._command, arguments = read_arguments(sys.argv[1:])
            self._sources = Sources(options, conf_file, arguments)
            self.settings = self._sources.read()
        except SettingsError as exc:
            sys.exit(f"{os.path.basename(sys.argv[0])}: {exc}")

    def run(self) -> None:
        """Serve until TERM or INT. If the start fails, the process ends with one line, or with the traceback
        of the module that could not be imported."""
        from toto_aio.server.launcher import launch  # here, as help and a wrong option need no server

        launch(self._command, self.settings, self._sources)
