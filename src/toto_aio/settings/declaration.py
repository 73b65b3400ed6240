"""Every option of a service, declared once: its name, type, default, group and description."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


class SettingsError(ValueError):
    """An option does not exist or has a wrong value; the message says what to write instead."""


def option(group: str, description: str, *, by_server: bool = False, **constraints: Any) -> Meta:
    """The metadata of an option: everything except its type and default."""
    schema = {"x-group": group, "x-by-server": by_server}
    return Meta(description=description, extra_json_schema=schema, **constraints)


server_option = partial(option, by_server=True)
"""The same for an option of the processes that serve, whatever services they have."""


Seconds = float
"""The type of each option that is a time, which can also be written with a unit (``durations``)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a service. Those of type ``Any`` also accept an object instead of text."""

    host: Annotated[str, server_option("Server", "address to listen on")] = "127.0.0.1"
    port: Annotated[int, server_option("Server", "port to listen on; 0 takes a free one", ge=0, le=65535)] = (
        8888
    )
    unix_socket: Annotated[
        str, server_option("Server", "path of a Unix socket to listen on, instead of host and port")
    ] = ""
    root: Annotated[str, option("Server", "path of the service")] = "/service"
    debug: Annotated[
        bool,
        option(
            "Server",
            "show clients the text of unexpected errors, and the reasons of 1004 and 1008; never use it in "
            "production",
        ),
    ] = False
    max_body_size: Annotated[int, option("Server", "maximum size of a request body, in bytes", ge=1)] = (
        1024 * 1024
    )
    startup_function: Annotated[
        Any,
        option(
            "Server", "module.function called with connection= and application= before the service listens"
        ),
    ] = None

    body_timeout: Annotated[
        Seconds, option("Server", "seconds within which a request body must arrive", gt=0)
    ] = 30.0
    fast_path: Annotated[
        bool,
        server_option(
            "Server", "handle plain calls without aiohttp's router; only under serve and without access_log"
        ),
    ] = True
    allow_origin: Annotated[
        list[str],
        option(
            "Server", "origins whose pages may call from browsers, such as https://app.example; * for all"
        ),
    ] = []

    method_module: Annotated[
        Any, option("Methods", "package whose modules are the methods of the service")
    ] = "methods"
    method_select: Annotated[
        Literal["both", "url", "parameter"],
        option("Methods", "where a call names its method: in the URL, in the body (parameter), or in either"),
    ] = "both"
    get_methods: Annotated[
        Literal["safe", "all"],
        option("Methods", "methods that GET can call: those marked @safe, or all except account.*"),
    ] = "safe"
    error_status: Annotated[
        Literal["toto", "http"],
        option(
            "Methods",
            "HTTP status of errors: 200 for most, as Toto's clients need (toto), or the one for each (http)",
        ),
    ] = "toto"
    openapi: Annotated[
        Literal["auto", "on", "authenticated", "off"],
        option(
            "Methods",
            "who gets the OpenAPI document at ROOT/openapi.json: everyone (on), those who are logged in, or "
            "nobody (off); auto is everyone, unless a method has that name",
        ),
    ] = "auto"
    explorer: Annotated[
        Literal["on", "authenticated", "off"],
        option(
            "Methods",
            "who can read and try the methods, on a page at ROOT/explorer: everyone (on), those who are "
            "logged in, or nobody (off)",
        ),
    ] = "off"
    json_rpc: Annotated[
        Literal["auto", "on", "off"],
        option(
            "Methods", "JSON-RPC 2.0 at ROOT/rpc and over WebSockets; auto leaves the path to a method rpc"
        ),
    ] = "auto"
    bson_enabled: Annotated[bool, option("Methods", "accept application/bson")] = True
    msgpack_enabled: Annotated[bool, option("Methods", "accept application/msgpack")] = True
    encoders: Annotated[
        Any,
        option(
            "Methods", "module.name of a dict of types and functions that make plain data of their values"
        ),
    ] = None
    method_timeout: Annotated[
        Seconds, option("Methods", "seconds that a method may take, unless @timeout sets another limit", gt=0)
    ] = 60.0
    rate: Annotated[
        list[str],
        option(
            "Methods",
            "calls of a client to all methods together, such as 100/60 (calls/seconds), 1000/1d or "
            "100/60/address",
        ),
    ] = []
    threads: Annotated[
        int, option("Methods", "plain 'def' methods that run at the same time, in threads", ge=1)
    ] = 16
    check_results: Annotated[
        bool, option("Methods", "compare results with the return annotations of typed methods, as debug does")
    ] = False
    batch_limit: Annotated[int, option("Methods", "maximum number of calls in a batch", ge=1)] = 50
    batch_concurrency: Annotated[
        int, option("Methods", "calls of a batch that run at the same time; 1 runs them in order", ge=1)
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

    app: Annotated[
        Any,
        option(
            "Methods",
            "a setting of your own, which methods read in handler.settings; in a file below [app]",
        ),
    ] = MappingProxyType({})

    database: Annotated[
        Any,
        option(
            "Database",
            "URL of the database of accounts and sessions: sqlite, postgresql, mysql, mongodb or redis; "
            "none: a service without accounts",
        ),
    ] = "sqlite:///toto.db"
    session_store: Annotated[
        Any, option("Database", "URL of a separate database for sessions; by default they are in database")
    ] = None
    start_timeout: Annotated[
        Seconds,
        option(
            "Database",
            "seconds that a start waits for a database or broker that does not answer yet",
            ge=0,
        ),
    ] = 0.0
    account_fields: Annotated[
        list[str], option("Database", "custom account fields that clients may set, such as email,name")
    ] = []
    password_min_length: Annotated[
        int, option("Database", "minimum length of a new password, in bytes", ge=1, le=1024)
    ] = 8

    login_attempts: Annotated[
        int,
        option("Logins", "wrong passwords allowed for an account from one address within 15 minutes", ge=1),
    ] = 10
    secret_key: Annotated[
        list[str],
        option(
            "Logins",
            "random text that encrypts the secrets of second factors, and hashes codes; former ones follow "
            "it, after commas",
        ),
    ] = []
    totp_issuer: Annotated[
        str, option("Logins", "name of the service that authenticator apps show", min_length=1, max_length=64)
    ] = "toto_aio"
    trusted_proxies: Annotated[
        list[str],
        option("Logins", "proxies whose X-Forwarded-For is trusted, such as 10.0.0.0/8,unix"),
    ] = []

    mail: Annotated[
        Any,
        option(
            "Mail",
            "how mail is sent: smtp://user:password@host, smtps://..., or console (into the log, for "
            "development)",
        ),
    ] = None
    mail_from: Annotated[
        str, option("Mail", "sender of the mails, such as 'Notes <noreply@notes.example>'")
    ] = ""
    mail_templates: Annotated[
        str, option("Mail", "folder with templates of your own, which replace those that come with toto_aio")
    ] = ""
    public_url: Annotated[
        str,
        option(
            "Mail",
            "URL at which users reach the application, such as https://notes.example; without it mails have "
            "codes, and no links",
        ),
    ] = ""

    session_ttl: Annotated[Seconds, option("Sessions", "idle lifetime of a session, in seconds", gt=0)] = (
        30 * 86400.0
    )
    session_max_ttl: Annotated[
        Seconds, option("Sessions", "absolute lifetime of a session, in seconds", gt=0)
    ] = 365 * 86400.0
    session_renew: Annotated[
        Seconds,
        option(
            "Sessions",
            "renew a session with fewer seconds left than this; "
            "0: once a hundredth of its lifetime has passed",
            ge=0,
        ),
    ] = 0.0
    max_sessions: Annotated[
        int,
        option("Sessions", "most sessions that a user may have; the oldest end", ge=1, le=1000),
    ] = 100
    anon_session_ttl: Annotated[
        Seconds, option("Sessions", "idle lifetime of an anonymous session, in seconds", gt=0)
    ] = 86400.0
    anon_session_renew: Annotated[
        Seconds, option("Sessions", "same as session_renew, for anonymous sessions", ge=0)
    ] = 0.0
    use_cookies: Annotated[
        bool,
        option(
            "Sessions",
            "keep a browser's session in a cookie, for pages of the service itself and of allow_origin",
        ),
    ] = False
    secure_cookies: Annotated[
        bool, option("Sessions", "send the cookie only over TLS; false is for local trials without TLS")
    ] = True
    cookie_domain: Annotated[
        str, option("Sessions", "domain whose hosts all get the cookie, instead of only this host")
    ] = ""
    signing: Annotated[
        Any,
        option(
            "Sessions",
            "signature scheme of requests and responses: user_id (as in Toto), toto1 (as in Toto 1.0), "
            "session or off",
        ),
    ] = "user_id"

    use_web_sockets: Annotated[bool, option("Sockets", "accept calls over WebSockets")] = True
    centrifuge: Annotated[
        bool, option("Sockets", "accept clients of Centrifuge at ROOT/connection/websocket")
    ] = True
    socket_path: Annotated[str, option("Sockets", "path of the WebSockets; by default ROOT/websocket")] = ""
    socket_handlers: Annotated[
        int, option("Sockets", "most event handlers that one socket may register", ge=1)
    ] = 100
    session_handlers: Annotated[
        int,
        option(
            "Sockets",
            "most event handlers that all sockets of one session may register, in each process",
            ge=1,
        ),
    ] = 1000
    socket_channels: Annotated[
        int, option("Sockets", "most channels that one socket subscribes to", ge=1)
    ] = 100
    session_channels: Annotated[
        int,
        option("Sockets", "most channels that all sockets of a session subscribe to, in each process", ge=1),
    ] = 1000
    socket_opened_method: Annotated[str, option("Sockets", "method to call when a socket is opened")] = ""
    socket_closed_method: Annotated[str, option("Sockets", "method to call when a socket is closed")] = ""

    processes: Annotated[
        int, server_option("Processes", "number of processes that serve; 0: one for each CPU", ge=0, le=1024)
    ] = 1
    daemon: Annotated[
        Literal["serve", "start", "stop", "restart"],
        server_option(
            "Processes", "what serve and TotoServer do, as in files of Toto: start serves in the background"
        ),
    ] = "serve"
    nodaemon: Annotated[bool, server_option("Processes", "serve in the foreground, whatever daemon says")] = (
        False
    )
    ports: Annotated[
        Literal["shared", "sequential"],
        server_option(
            "Processes", "one port shared by all processes, or one for each, counting up from port"
        ),
    ] = "shared"
    autoreload: Annotated[
        bool, server_option("Processes", "restart when a Python file changes; for development")
    ] = False
    shutdown_timeout: Annotated[
        Seconds,
        server_option(
            "Processes",
            "seconds within which a shutdown is complete; calls in progress have slightly less",
            gt=0,
        ),
    ] = 10.0
    stuck_after: Annotated[
        Seconds,
        server_option(
            "Processes",
            "seconds without a turn of its event loop after which a process is killed and replaced; 0: never",
            ge=0,
        ),
    ] = 30.0
    pidfile: Annotated[
        str, server_option("Processes", "file that start writes, by which stop finds the service")
    ] = "toto.pid"
    log_file: Annotated[str, server_option("Processes", "log file of a service that start runs")] = "toto.log"

    log_format: Annotated[
        Literal["text", "json"], server_option("Logs", "format of the log lines on stderr")
    ] = "text"
    access_log: Annotated[bool, server_option("Logs", "log a line for each request")] = False
    slow_call: Annotated[Seconds, option("Logs", "seconds after which a call is logged as slow", gt=0)] = 1.0

    audit_event: Annotated[
        str, option("Logs", "event to send with each entry of the audit log; by default none is sent")
    ] = ""

    health: Annotated[
        str, option("Monitoring", "path below which /live and /ready report the state of the service; or off")
    ] = "/health"
    metrics: Annotated[
        bool, option("Monitoring", "collect metrics, and serve them to Prometheus at /metrics")
    ] = False
    metrics_clients: Annotated[
        list[str],
        option(
            "Monitoring",
            "clients that may read the metrics, besides programs on this machine, such as 10.0.0.0/8",
        ),
    ] = []

    events: Annotated[
        Any, option("Events", "how events travel: memory:// (within one process), a redis URL, or off")
    ] = "memory://"
    event_init_module: Annotated[
        Any,
        option(
            "Events", "module whose invoke(event_manager) registers event handlers before the service starts"
        ),
    ] = None
