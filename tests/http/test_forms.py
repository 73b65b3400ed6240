"""Forms, as a browser posts them."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest

from tests.support.service import Serve
from toto_aio.codecs.codec import run
from toto_aio.http import forms
from toto_aio.invocation import raw_response


async def echo(handler: Any, parameters: dict[str, Any]) -> Any:
    """Return the parameters."""
    return parameters


async def test_urlencoded(serve: Serve) -> None:
    """Each field is the list of its values, and the response is JSON."""
    service = await serve({"echo": echo})
    response = await service.post("/echo", data="a=1&a=2&b=%C3%A9&c=", headers=FORM)
    assert response.content_type == "application/json"
    assert await response.json() == {"result": {"a": ["1", "2"], "b": ["é"], "c": [""]}}
    assert await (await service.post("/echo", data="", headers=FORM)).json() == {"result": {}}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ("a=1&", {"a": ["1"]}),
        ("&a=1", {"a": ["1"]}),
        ("a=1&&b=2", {"a": ["1"], "b": ["2"]}),
        ("a", {"a": [""]}),
        ("a&b=1", {"a": [""], "b": ["1"]}),
        ("a&a&a=", {"a": ["", "", ""]}),
        ("&", {}),
        ("&&&&", {}),
        ("=", {"": [""]}),
        ("=1", {"": ["1"]}),
        ("a=b=c&%26", {"a": ["b=c"], "&": [""]}),
        ("{=1", {"{": ["1"]}),
        ("+", {" ": [""]}),
    ],
)
async def test_odd_fields(serve: Serve, body: str, fields: dict[str, list[str]]) -> None:
    """Empty fields are skipped, and one without = is empty: what every browser and GET takes."""
    service = await serve({"echo": echo})
    response = await service.post("/echo", data=body, headers=FORM)
    assert await response.json() == {"result": fields}


FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("body", [b"a=%FF", b'{"a": 1}', b"&".join(b"a=1" for _ in range(1001))])
async def test_bad_forms(serve: Serve, body: bytes) -> None:
    """Broken UTF-8, too many fields, and JSON under a form's content type are 400."""
    service = await serve({"echo": echo})
    response = await service.post("/echo", data=body, headers=FORM)
    assert response.status == 400
    value = (await response.json())["error"]["value"]
    assert value.startswith("Not a form: ")
    assert ("for JSON" in value) == body.startswith(b"{")


async def test_multipart(serve: Serve) -> None:
    """Fields and files are separated; files have their name, type and bytes."""
    content = bytes(range(256)) * 300 + b"\r\n--x\r\n"

    @raw_response
    async def upload(handler: Any, parameters: dict[str, Any]) -> Any:
        handler.response_type = parameters["files"]["f"][0]["content_type"]
        assert parameters["arguments"] == {"a": ["1", "é"]}
        assert parameters["files"]["f"][0]["filename"] == "x.bin"
        return parameters["files"]["f"][0]["body"]

    service = await serve({"upload": upload})
    form = aiohttp.FormData()
    form.add_field("a", "1")
    form.add_field("a", "é")
    form.add_field("f", content, filename="x.bin", content_type="image/x")
    form.add_field("f", b"", filename="y.bin")
    response = await service.post("/upload", data=form)
    assert response.content_type == "image/x"
    assert await response.read() == content


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x\r\n\r\n--x--"),
        ("multipart/form-data; boundary=x", b"nothing of the kind"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1'),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken\r\n\r\n1\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--x--\r\n',
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=a\r\n"
            b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\n1\r\n--y--\r\n--x--\r\n",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n'
            b"Content-Transfer-Encoding: nonsense\r\n\r\n!\r\n--x--\r\n",
        ),
    ],
)
async def test_bad_multipart(serve: Serve, content_type: str, body: bytes, caplog: Any) -> None:
    """Malformed multipart is 400, and the next request is served."""
    service = await serve({"echo": echo})
    response = await service.post("/echo", data=body, headers={"content-type": content_type})
    assert response.status == 400, await response.text()
    assert (await response.json())["error"]["code"] == 1003
    assert not caplog.records
    assert await service.result("echo", {"x": 1}) == {"x": 1}


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (rb"C:\Users\x.txt", r"C:\Users\x.txt"),
        (rb"a\b.txt", r"a\b.txt"),
        (rb"\\host\share\x.txt", r"\\host\share\x.txt"),
        (rb"a\\b.txt", r"a\\b.txt"),
        (rb"C:\a%22b.txt", r'C:\a"b.txt'),
        (rb"a\"b.txt", 'a"b.txt'),
        (rb"C:\\a\"b.txt", r'C:\a"b.txt'),
        (rb"/home/x.txt", "/home/x.txt"),
        ("\u00e9\\x".encode(), "\u00e9\\x"),
    ],
)
@pytest.mark.parametrize("order", [b'name="f"; filename="%b"', b'filename="%b"; name="f"'])
async def test_backslashes_in_file_names(serve: Serve, order: bytes, sent: bytes, name: str) -> None:
    """They are kept, as browsers send names as they are; only an escaped quote loses its backslash."""

    async def names(handler: Any, parameters: dict[str, Any]) -> Any:
        return [file["filename"] for file in parameters["files"]["f"]]

    service = await serve({"names": names})
    body = b"--x\r\nContent-Disposition: form-data; " + order % sent + b"\r\n\r\n1\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = await service.post("/names", data=body, headers=headers)
    assert await response.json() == {"result": [name]}


FIELD = b'--x\r\nContent-Disposition: form-data; name="a"\r\n'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (FIELD + b"Content-Encoding: gzip\r\n\r\n1\r\n--x--\r\n", "compressed"),
        (FIELD + b"a: b\r\n" * 50 + b"\r\n1\r\n--x--\r\n", "header count"),
        (FIELD + b"a: " + b"b" * 9000 + b"\r\n\r\n1\r\n--x--\r\n", "header length"),
        ((FIELD + b"\r\n1\r\n") * 1001 + b"--x--\r\n", "segment count"),
    ],
    ids=["compressed", "headers", "long header", "parts"],
)
async def test_limits_of_multipart(serve: Serve, body: bytes, reason: str) -> None:
    """Parts and their headers are counted; the error is short and says which limit it was."""
    service = await serve({"echo": echo})
    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = await service.post("/echo", data=body, headers=headers)
    assert response.status == 400
    assert reason in (await response.json())["error"]["value"]


@pytest.mark.parametrize(
    ("encoding", "content"),
    [("base64", b"w6k="), ("quoted-printable", b"=C3=A9"), ("8bit", "\u00e9".encode())],
)
async def test_transfer_encodings(serve: Serve, encoding: str, content: bytes) -> None:
    """Those of mail are read too, although RFC 7578 has deprecated them."""
    service = await serve({"echo": echo})
    body = FIELD + f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode() + content + b"\r\n--x--\r\n"
    headers = {"content-type": 'multipart/form-data; boundary="x"'}
    response = await service.post("/echo", data=body, headers=headers)
    assert await response.json() == {"result": {"arguments": {"a": ["\u00e9"]}, "files": {}}}


@pytest.mark.parametrize("size", [10, forms.STEP - 4, forms.STEP - 3, forms.STEP - 2, 3 * forms.STEP])
def test_escapes_are_never_split(size: int) -> None:
    """A long field is decoded in pieces, with the same outcome."""
    quoted = b"a" * size + b"%C3%A9" * forms.STEP + b"%zz%"
    steps = forms.read_urlencoded("", b"a=" + quoted)
    assert run(steps) == {"a": [unquote(quoted.decode())]}


def test_many_fields_take_steps() -> None:
    """The loop has its turns, however the bytes are divided into fields."""
    for body in (b"a=" + b"%41" * 40_000, b"&".join([b"a=" + b"%41" * 120] * 333)):
        assert sum(1 for _ in forms.read_urlencoded("", body)) >= 7


async def test_long_fields_come_back_short(serve: Serve) -> None:
    """An error has no field of the form in it."""
    service = await serve({"echo": echo})
    response = await service.post("/echo", data=b"a" * 100_000 + b"\xff", headers=FORM)
    assert (response.status, len(await response.read()) < 200) == (400, True)


async def test_a_form_names_its_method_in_the_url(serve: Serve) -> None:
    """The fields of a form are parameters, whatever their names."""
    service = await serve({"echo": echo})
    response = await service.post(data="method=echo", headers=FORM)
    assert (await response.json())["error"]["code"] == 1002
    response = await service.post("/echo", data="method=x&parameters=y&batch=z", headers=FORM)
    assert await response.json() == {"result": {"method": ["x"], "parameters": ["y"], "batch": ["z"]}}
