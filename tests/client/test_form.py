"""Files that the client sends, and the document that it gets."""

from __future__ import annotations

from typing import Any

import pytest

from toto_aio import File, Handler
from toto_aio.client import Client
from toto_aio.invocation import authenticated
from toto_aio.methods.account import create
from toto_aio.testing import serving

Parameters = dict[str, Any]


async def shown(handler: Handler, parameters: Parameters) -> Any:
    """Show a form."""
    files = {
        name: [[each["filename"], each["content_type"], each["body"].hex()] for each in sent]
        for name, sent in parameters["files"].items()
    }
    return [parameters["arguments"], files]


@pytest.mark.parametrize("signing", ["user_id", "toto1", "session"])
async def test_files(signing: str) -> None:
    """They arrive as they are, whatever they and their names contain, beside text; the form is signed."""
    async with serving({"shown": authenticated(shown), "account.create": create}, signing=signing) as client:
        await client.create_account("ada", "correct horse")
        name, content = 'a "b"\r\nX-Evil: 1.png', b"\r\n--boundary--\r\n\xff"
        files = {"f": [File(name, "image/png\r\nX-Evil: 1", content), File("")]}
        given = {"text": "\u00e4\r\n", "n": [1, 2.5], "yes": True, "none": []}
        fields, sent = await client.call("shown", given, files=files)
        assert fields == {"text": ["\u00e4\r\n"], "n": ["1", "2.5"], "yes": ["true"]}
        assert sent["f"][0] == [name, "image/pngX-Evil: 1", content.hex()]
        for value in (None, {"a": 1}, [None], [[1]]):
            with pytest.raises(ValueError, match="x: a form has text, numbers and lists of them"):
                await client.call("shown", {"x": value}, files=files)


async def test_the_document() -> None:
    """It is that of the service; None if it has none, or none for this client, or is no service at all."""
    async with serving({"shown": shown}) as client:
        document = await client.openapi()
        assert document is not None
        assert "/service/shown" in document["paths"]
        async with Client(client.url.with_path("/elsewhere")) as other:
            assert await other.openapi() is None
    for openapi in ("off", "authenticated"):
        async with serving({"shown": shown}, openapi=openapi) as client:
            assert await client.openapi() is None
