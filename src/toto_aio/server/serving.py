"""What a process does that serves: alone, or as a worker of a master.

Only such a process imports aiohttp, which is most of the time and memory that a start takes.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from toto_aio.exceptions import Unavailable
from toto_aio.failures import describe_failure
from toto_aio.importer import import_from_here
from toto_aio.server.access_log import shorten_bad_requests
from toto_aio.server.application import open_application
from toto_aio.server.channel import WorkerChannel
from toto_aio.server.listeners import bind_addresses, listen
from toto_aio.server.logs import configure_logs
from toto_aio.server.orphans import end_with_master
from toto_aio.server.serve import serve_until_shutdown
from toto_aio.server.signals import ignore_meaningless
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.sources import Sources

logger = logging.getLogger(__name__)

NO_START = "the service does not start"


def serve_alone(settings: Settings, sources: Sources, on_ready: Callable[[Mapping[str, Any]], None]) -> None:
    """Serve without a master; ``on_ready`` is called with what a master publishes."""
    ignore_meaningless(signal.SIGALRM)
    _prepare(settings)
    # Before listening: a service whose methods cannot be imported takes no connection.
    try:
        app = open_application(settings, sources.application, logger.warning)
    except (SettingsError, Unavailable):
        raise
    except Exception as exc:
        sys.exit(f"toto-aio: {describe_failure(exc, NO_START)}")
    (address,) = bind_addresses(settings, 1)
    listener = listen(address)
    root = "/" if sources.application else settings.root
    state = {"addresses": [listener.url(root)], "processes": 1, "failure": None}
    try:
        serve_until_shutdown(settings, app, listener.sockets, partial(on_ready, state))
    finally:
        listener.close()


def serve_as_worker(settings: Settings, sources: Sources, channel: WorkerChannel) -> None:
    """Serve on the master's sockets; the master shows why a worker does not start."""
    end_with_master()  # by ALRM
    ignore_meaningless()
    _prepare(settings)
    try:
        app = open_application(settings, sources.application, channel.report_warning)
        serve_until_shutdown(
            settings, app, channel.sockets, channel.report_ready, channel.report_draining, channel
        )
    except (SettingsError, Unavailable) as exc:
        channel.report_failure(str(exc.value if isinstance(exc, Unavailable) else exc))
        sys.exit(1)
    except Exception as exc:
        if channel.is_ready:
            raise
        channel.report_failure(describe_failure(exc, NO_START))
        sys.exit(1)


def _prepare(settings: Settings) -> None:
    configure_logs(settings.log_format)
    shorten_bad_requests()
    import_from_here()
