"""The options of Toto that have another name now, another meaning, or none: tables of what to write instead.

Both generations of Toto are here: 1.0, and those before. What can be taken as it is, is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_IN_THE_URL = "in the URL of database, such as postgresql://user:password@host:5432/name"
_IN_MYSQL_URL = "in the URL of database, such as mysql://user:password@host:3306/name"
_IN_MONGODB_URL = "in the URL of database, such as mongodb://user:password@host:27017/name"
_EVENTS = (
    "write events=memory:// for one process, events=redis://host/0 for several, on any machines, "
    "or events=off"
)
_NO_EVENT_ADDRESSES = "leave it out: with events=redis://host/0 every process hears every event"
_NO_WORKERS = (
    "leave it out: there are no workers; a plain 'def invoke' runs in a thread, and another service is "
    "called with toto_aio.client"
)
_LOGS = "leave it out: the log goes to stderr, or to log_file after toto-aio start; logrotate can rotate it"
_SAME_METHODS = "leave it out: requests and sockets call the same methods, those of method_module"
_POOL = (
    "leave it out: each process has at most 10 connections for the service and 10 for its methods; "
    "create_app(database=pool) takes a pool of your own"
)
_NO_JSON = "write database=sqlite:///toto.db, or database=memory:// to keep nothing"

RENAMED: dict[str, str] = {
    "hmac_enabled": "write signing=toto1 for the signatures of Toto 1.0, signing=user_id for those before, "
    "or signing=off",
    "event_mode": _EVENTS,
    **dict.fromkeys(
        ("event_port", "remote_event_receivers", "remote_instances", "event_key"), _NO_EVENT_ADDRESSES
    ),
    **dict.fromkeys(("event_path", "event_handler_path"), _NO_EVENT_ADDRESSES),
    "db_host": f"write the host {_IN_THE_URL}",
    "db_port": f"write the port {_IN_THE_URL}",
    "mongodb_host": f"write the host {_IN_MONGODB_URL}",
    "mongodb_port": f"write the port {_IN_MONGODB_URL}",
    "mysql_host": f"write the host {_IN_MYSQL_URL}",
    "mongodb_database": "write database=mongodb://host/name",
    "mysql_database": "write database=mysql://user:password@host/name",
    "postgres_database": "write database=postgresql://user:password@host/name",
    "redis_database": "write database=redis://host/number",
    "mysql_user": f"write the user {_IN_MYSQL_URL}",
    "mysql_password": f"write the password {_IN_MYSQL_URL}",
    "postgres_user": f"write the user {_IN_THE_URL}",
    "postgres_password": f"write the password {_IN_THE_URL}",
    **dict.fromkeys(("postgres_min_connections", "postgres_max_connections"), _POOL),
    "mysql_uuid_account_id": "leave it out: an account is known by its user_id, and has no account_id",
    "password_salt": "leave it out: every password has its own salt",
    "cookie_secret": "leave it out: a cookie has only the session id, and needs no signature",
    "socket_method_module": _SAME_METHODS,
    "client_side_worker_path": "leave it out: a client that takes work opens a WebSocket, and a method sends "
    "it events",
    **dict.fromkeys(
        (
            *("worker_address", "worker_bind_address", "worker_socket_address", "control_socket_address"),
            *("balancer_monitor_address", "worker_transport", "worker_timeout", "worker_timeout_ms"),
            *("worker_auto_retry", "worker_retry_count", "worker_retry_ms", "worker_compression_module"),
            *("worker_serialization_module", "worker_serialization_mime", "compression_module"),
            *("serialization_module", "command", "use_remote_workers", "remote_worker_path"),
        ),
        _NO_WORKERS,
    ),
    "logging": "leave it out: failed and slow calls are logged, and access_log=true logs each request",
    **dict.fromkeys(("log_file_prefix", "log_file_max_size", "log_file_num_backups", "log_to_stderr"), _LOGS),
    "client_max_size": "write max_body_size",
}
"""Options of Toto that do not exist any more, and what to write instead."""

VALUES: dict[str, Mapping[Any, str | dict[str, Any]]] = {
    "daemon": {"": {"daemon": "serve"}},
    "database": {"json": _NO_JSON, "file": _NO_JSON},
    "event_mode": {
        "off": {"events": "off"},
        "only": "leave this server out: with events=redis://host/0 in each service, Redis carries the events",
    },
    "hmac_enabled": {False: {"signing": "off"}},
    "processes": {-1: {"processes": 0}},
    **{
        command: {True: {"daemon": command}, False: dict[str, Any]()}
        for command in ("start", "stop", "restart")
    },
}
"""Values of Toto's options: what to write instead, or the options that are taken for them."""

_WORDS = {"true": True, "false": False, "-1": -1}


def old_value(name: str, value: Any, *, text: bool) -> str | dict[str, Any] | None:
    """What to write instead of a value of Toto's, or the options to take for it; None for any other value."""
    values = VALUES.get(name)
    if values is None or not isinstance(value, str | int):
        return None
    return values.get(_WORDS.get(value.lower(), value) if text and isinstance(value, str) else value)
