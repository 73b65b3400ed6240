"""What Toto's handlers had from Tornado's ``RequestHandler``, and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping

TORNADO: Mapping[str, str] = {
    "finish": "write handler.respond(result); after pieces, handler.respond_raw('', content_type)",
    "write": "write handler.respond_raw(piece, content_type, finish=False)",
    "write_message": "write handler.send_message(data)",
    "add_header": "write handler.set_header(name, value)",
    "get_argument": "read the parameters",
    "get_arguments": "read the parameters",
    "get_cookie": "read handler.request.cookies",
    "get_secure_cookie": "read handler.request.cookies, or keep the value in the session",
    "set_secure_cookie": "write handler.set_cookie(name, value), or keep the value in the session",
}
