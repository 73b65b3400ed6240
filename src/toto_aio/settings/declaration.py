"""Every option of a service, declared once: its name, type, default, group and what ``--help`` says."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta


class SettingsError(ValueError):
    """An option that does not exist or has a wrong value; the message says what to write."""


def option(group: str, description: str, **constraints: Any) -> Meta:
    """What is known of an option beside its type and default."""
    return Meta(description=description, extra_json_schema={"x-group": group}, **constraints)


Seconds = float


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a service. Those of type ``Any`` take an object in place of text."""

    host: Annotated[str, option("Server", "address to listen on")] = "127.0.0.1"
    port: Annotated[int, option("Server", "port to listen on; 0 takes a free one", ge=0, le=65535)] = 8888
    unix_socket: Annotated[str, option("Server", "path to listen on in place of host and port")] = ""
    root: Annotated[str, option("Server", "path of the service")] = "/service"
    debug: Annotated[
        bool, option("Server", "tell clients the text of unexpected errors; never in production")
    ] = False
    max_body_size: Annotated[int, option("Server", "largest body of a request, in bytes", ge=1)] = 1024 * 1024
    startup_function: Annotated[
        Any,
        option(
            "Server", "module.function called with connection= and application= before the service listens"
        ),
    ] = None

    body_timeout: Annotated[
        Seconds, option("Server", "seconds within which the body of a request must have come", gt=0)
    ] = 30.0
    fast_path: Annotated[
        bool, option("Server", "answer plain calls past aiohttp's router, under serve and without access_log")
    ] = True
    allow_origin: Annotated[
        list[str],
        option("Server", "pages that may call from browsers: * or origins, as https://app.example"),
    ] = []

    method_module: Annotated[Any, option("Methods", "package whose modules are the methods")] = "methods"
    method_select: Annotated[
        Literal["both", "url", "parameter"],
        option("Methods", "where a call names its method: in the URL, in the body, or either"),
    ] = "both"
    get_methods: Annotated[
        Literal["safe", "all"],
        option("Methods", "which methods GET reaches: those marked @safe, or all but account.*"),
    ] = "safe"
    bson_enabled: Annotated[bool, option("Methods", "understand application/bson")] = True
    msgpack_enabled: Annotated[bool, option("Methods", "understand application/msgpack")] = True
    method_timeout: Annotated[
        Seconds, option("Methods", "seconds that a method may take, unless @timeout says otherwise", gt=0)
    ] = 60.0
    threads: Annotated[int, option("Methods", "plain 'def' methods that run at once", ge=1)] = 16
    batch_limit: Annotated[int, option("Methods", "most calls in a batch", ge=1)] = 50
    batch_concurrency: Annotated[
        int, option("Methods", "calls of a batch that run at once; 1 keeps their order", ge=1)
    ] = 1
    before_handler: Annotated[
        Any,
        option(
            "Methods",
            "module.function called with (handler, transaction_id, method) before each call",
        ),
    ] = None
    after_handler: Annotated[
        Any,
        option("Methods", "module.function called with (handler, transaction_id, method) after each call"),
    ] = None

    database: Annotated[
        Any,
        option(
            "Database",
            "where accounts and sessions are kept: a URL of sqlite, postgresql, mysql, mongodb or redis",
        ),
    ] = "sqlite:///toto.db"
    session_store: Annotated[
        Any, option("Database", "where sessions are kept if not in the database; a URL too")
    ] = None
    account_fields: Annotated[
        list[str], option("Database", "values beside an account that clients may set, as a,b,c")
    ] = []
    password_min_length: Annotated[
        int, option("Database", "fewest bytes of a new password", ge=1, le=1024)
    ] = 8

    login_attempts: Annotated[
        int,
        option("Logins", "wrong passwords for an account from one address within 15 minutes", ge=1),
    ] = 10
    trusted_proxies: Annotated[
        list[str],
        option("Logins", "proxies whose X-Forwarded-For is believed, as 10.0.0.0/8,unix"),
    ] = []

    session_ttl: Annotated[Seconds, option("Sessions", "seconds that a session lives unused", gt=0)] = (
        30 * 86400.0
    )
    session_max_ttl: Annotated[Seconds, option("Sessions", "seconds that a session lives in all", gt=0)] = (
        365 * 86400.0
    )
    session_renew: Annotated[
        Seconds,
        option("Sessions", "renew a session with fewer seconds left; 0: once a hundredth has passed", ge=0),
    ] = 0.0
    anon_session_ttl: Annotated[
        Seconds, option("Sessions", "seconds that an anonymous session lives unused", gt=0)
    ] = 86400.0
    anon_session_renew: Annotated[
        Seconds, option("Sessions", "the same as session_renew for anonymous sessions", ge=0)
    ] = 0.0
    use_cookies: Annotated[
        bool,
        option("Sessions", "keep a browser's session in a cookie, for pages of allow_origin and our own"),
    ] = False
    secure_cookies: Annotated[
        bool, option("Sessions", "send the cookie over TLS alone; false is for trials without TLS")
    ] = True
    cookie_domain: Annotated[
        str, option("Sessions", "domain whose hosts all get the cookie, in place of this host alone")
    ] = ""
    signing: Annotated[
        Any, option("Sessions", "how requests and responses are signed: user_id (as in Toto), session or off")
    ] = "user_id"

    use_web_sockets: Annotated[bool, option("Sockets", "call methods over WebSockets too")] = True
    socket_path: Annotated[str, option("Sockets", "path of the sockets; by default ROOT/websocket")] = ""
    socket_opened_method: Annotated[
        str, option("Sockets", "method that is called when a socket is opened")
    ] = ""
    socket_closed_method: Annotated[
        str, option("Sockets", "method that is called when a socket is closed")
    ] = ""

    processes: Annotated[
        int, option("Processes", "processes that serve; 0: one for each CPU", ge=0, le=1024)
    ] = 1
    ports: Annotated[
        Literal["shared", "sequential"],
        option("Processes", "one port for all processes, or one for each, from port on"),
    ] = "shared"
    autoreload: Annotated[
        bool, option("Processes", "restart when a Python file changes; for work on methods")
    ] = False
    shutdown_timeout: Annotated[
        Seconds,
        option("Processes", "seconds within which a stop is over; calls have until shortly before", gt=0),
    ] = 10.0
    pidfile: Annotated[str, option("Processes", "file that start keeps, by which stop finds the service")] = (
        "toto.pid"
    )
    log_file: Annotated[str, option("Processes", "file to which start has the service log")] = "toto.log"

    log_format: Annotated[Literal["text", "json"], option("Logs", "lines of text or of JSON, on stderr")] = (
        "text"
    )
    access_log: Annotated[bool, option("Logs", "a line for each request")] = False
    slow_call: Annotated[Seconds, option("Logs", "seconds from which on a call is logged as slow", gt=0)] = (
        1.0
    )

    health: Annotated[
        str, option("Monitoring", "path below which /live and /ready say how the service is; or off")
    ] = "/health"
    metrics: Annotated[bool, option("Monitoring", "measure, and show it to Prometheus at /metrics")] = False
    metrics_clients: Annotated[
        list[str],
        option("Monitoring", "who sees the metrics beside programs of this machine, as 10.0.0.0/8"),
    ] = []

    events: Annotated[
        Any, option("Events", "how events travel: memory:// (in one process), a URL of redis, or off")
    ] = "memory://"
    event_init_module: Annotated[
        Any, option("Events", "module whose invoke(event_manager) sets up handlers before the service starts")
    ] = None


RENAMED = {
    "hmac_enabled": "write signing=user_id or signing=off",
    "event_mode": "write events=memory://, events=redis://host/0 or events=off",
    "db_host": "write the host into the database's URL",
    "db_port": "write the port into the database's URL",
    "mongodb_host": "write the host into the database's URL",
    "mongodb_port": "write the port into the database's URL",
    "mongodb_database": "write database=mongodb://host/name",
    "mysql_host": "write the host into the database's URL",
    "mysql_database": "write database=mysql://user:password@host/name",
    "mysql_user": "write the user into the database's URL",
    "mysql_password": "write the password into the database's URL",
    "postgres_database": "write database=postgresql://user:password@host/name",
    "postgres_user": "write the user into the database's URL",
    "postgres_password": "write the password into the database's URL",
    "redis_database": "write database=redis://host/number",
    "password_salt": "leave it out: every password has a salt of its own",
    "client_max_size": "write max_body_size",
}
"""Options of Toto that have another name now, and what to write."""


@dataclass(frozen=True, slots=True)
class Option:
    """What is declared of an option, for ``--help`` and documentation."""

    name: str
    type: Any
    default: Any
    group: str
    description: str

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of an option that takes one of a few."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def metavar(self) -> str:
        """What stands for the value in ``--help``."""
        return "|".join(self.choices) or _METAVARS.get(self.type, "VALUE")


def describe_options() -> Iterator[Option]:
    """The options in the order of their declaration."""
    return iter(OPTIONS.values())


def unknown_option(place: str, name: str) -> str:
    """What to say of an option that does not exist: its new name, or one that is alike."""
    if name in RENAMED:
        return f"{place}: {RENAMED[name]}"
    near = difflib.get_close_matches(name, OPTIONS, 3)
    alike = [other for other in near if _likeness(name, other) == _likeness(name, near[0])]
    return f"{place}: no such option" + (f"; did you mean {' or '.join(alike)}?" if alike else "; see --help")


def _likeness(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, name).ratio()


def _declared(name: str) -> Option:
    field = FIELDS[name]
    meta = field.type.__metadata__[0]
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return Option(name, field.type.__origin__, default, meta.extra_json_schema["x-group"], meta.description)


FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}
OPTIONS = {name: _declared(name) for name in FIELDS}
_METAVARS = {bool: "true|false", int: "N", float: "SECONDS", list[str]: "A,B,C"}
