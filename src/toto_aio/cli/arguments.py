"""The arguments of the commands, besides the options of a service."""

from __future__ import annotations

import argparse


def add_nothing(parser: argparse.ArgumentParser) -> None:
    """Add none."""


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the file to write into."""
    parser.add_argument("-o", "--output", metavar="FILE", help="write into this file")


def add_contract(parser: argparse.ArgumentParser) -> None:
    """Add the contract to compare with."""
    parser.add_argument(
        "--contract",
        metavar="FILE",
        help="instead name what breaks old clients, compared with what toto-aio contract wrote",
    )


def add_project(parser: argparse.ArgumentParser) -> None:
    """Add the name and the template of a project."""
    from toto_aio.cli.new import TEMPLATES

    parser.add_argument("name", metavar="NAME", help="name of the project and of its folder")
    listed = "; ".join(f"{name}: {template.description}" for name, template in TEMPLATES.items())
    parser.add_argument("--template", metavar="|".join(TEMPLATES), help=f"{listed} (default simple)")


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add the service, and how long it may take."""
    parser.add_argument(
        "url", metavar="URL", help="URL of the service, such as http://127.0.0.1:8888/service"
    )
    parser.add_argument("--timeout", metavar="SECONDS", help="the time that it may take (default 60)")


def add_client(parser: argparse.ArgumentParser) -> None:
    """Add the language of a client, and its service."""
    parser.add_argument("language", metavar="typescript|python", help="the language of the client")
    parser.add_argument(
        "service",
        metavar="SERVICE",
        nargs="?",
        help="URL of a service, a dot for the one of this folder (default), or a file with its options",
    )
    parser.add_argument("--timeout", metavar="SECONDS", help="the time that a URL may take (default 60)")
    add_output(parser)


def add_login(parser: argparse.ArgumentParser) -> None:
    """Add the service and the user."""
    add_url(parser)
    parser.add_argument("user", metavar="USER", help="user id; the password is asked for, or read from stdin")
    parser.add_argument("--create", action="store_true", help="create the account first")
    parser.add_argument(
        "--signing", metavar="SCHEME", help="user_id, session, toto1 or off (default: as the service says)"
    )


def add_shell(parser: argparse.ArgumentParser) -> None:
    """Add the shell, and what its script asks with."""
    parser.add_argument("shell", metavar="bash|zsh|fish", help="the shell")
    parser.add_argument("--line", help=argparse.SUPPRESS)
    parser.add_argument("--breaks", help=argparse.SUPPRESS)
