"""Tests of the sockets that a service listens on."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import short
from toto_aio.server.listeners import BindAddress, Listener, bind_addresses, listen
from toto_aio.settings import Settings, SettingsError


@contextmanager
def listening(path: Path) -> Iterator[Listener]:
    """A listener on a path."""
    with closing(listen(BindAddress(short(path), "", 0))) as listener:
        yield listener


def can_connect(path: Path) -> bool:
    """Whether a process listens there."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(short(path))
        except OSError:
            return False
        return True


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [8888, 8888, 8888]),
        ({"port": 9000, "ports": "sequential"}, [9000, 9001, 9002]),
        ({"port": 0, "ports": "sequential"}, [0, 0, 0]),
        ({"port": 65533, "ports": "sequential"}, [65533, 65534, 65535]),
    ],
    ids=str,
)
def test_bind_addresses(options: dict[str, Any], expected: list[int]) -> None:
    """All processes share one, or each has a port; free ports are separate addresses."""
    found = bind_addresses(Settings(**options), 3)
    assert [address.port for address in found] == expected
    assert len(set(found)) == (3 if "ports" in options else 1)


def test_a_host_with_several_addresses() -> None:
    """It listens on all of them, at the port that the first one got."""
    with closing(listen(BindAddress("", "localhost", 0))) as listener:
        ports = {listening.getsockname()[1] for listening in listener.sockets}
        found = {info[4][0] for info in socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)}
        assert {listening.getsockname()[0] for listening in listener.sockets} == found
        assert len(ports) == 1
        for address in found:
            socket.create_connection((address, *ports)).close()


def test_a_free_port_that_another_address_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is chosen; a port that was asked for is not replaced."""

    def two_addresses(host: str, port: int, **_: Any) -> Any:
        return [
            own for each in ("127.0.0.1", "127.0.0.2") for own in look_up(each, port, type=socket.SOCK_STREAM)
        ]

    class Beaten(socket.socket):
        """A socket whose port somebody takes on the other address of the host, before that is opened."""

        def bind(self, address: Any) -> None:
            super().bind(address)
            if not taken.getsockname()[1]:
                taken.bind(("127.0.0.2", self.getsockname()[1]))

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    with socket.socket() as taken:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", Beaten)
            listener = listen(BindAddress("", "host.example", 0))
        port = taken.getsockname()[1]
        with closing(listener):
            hosts, ports = zip(*(each.getsockname() for each in listener.sockets), strict=True)
            assert (hosts, len({*ports}), port in ports) == (("127.0.0.1", "127.0.0.2"), 1, False)
        with pytest.raises(SettingsError, match="in use; stop the program"):
            listen(BindAddress("", "host.example", port))


def test_the_url() -> None:
    """The URL can be opened in a browser."""
    with closing(listen(BindAddress("", "127.0.0.1", 0))) as listener:
        port = listener.sockets[0].getsockname()[1]
        assert listener.url("/service") == f"http://127.0.0.1:{port}/service"
    with closing(listen(BindAddress("", "::1", 0))) as listener:
        port = listener.sockets[0].getsockname()[1]
        assert listener.url("/a/b/") == f"http://[::1]:{port}/a/b"


@pytest.mark.parametrize(
    "address",
    [BindAddress("", "256.0.0.1", 0), BindAddress("", "a" * 64, 0), BindAddress("nowhere/socket", "", 0)],
    ids=str,
)
def test_a_place_that_cannot_be(address: BindAddress) -> None:
    """The error names it."""
    with pytest.raises(SettingsError, match=f"Cannot listen on {address}: "):
        listen(address)


def test_a_port_in_use() -> None:
    """The error says what to do, and no socket stays open."""
    with closing(listen(BindAddress("", "127.0.0.1", 0))) as listener:
        address = listener.address._replace(port=listener.sockets[0].getsockname()[1])
        with pytest.raises(SettingsError, match="in use; stop the program"):
            listen(address)


def test_a_path(tmp_path: Path) -> None:
    """Clients can connect to it, and it is removed at the end."""
    with listening(tmp_path / "s") as listener:
        assert can_connect(tmp_path / "s")
        assert listener.url("/service") == f"{short(tmp_path / 's')} (path /service)"
    assert not (tmp_path / "s").exists()


def test_a_path_that_another_process_has_taken_over(tmp_path: Path) -> None:
    """It is left alone."""
    with listening(tmp_path / "s"):
        os.unlink(tmp_path / "s")
        with listening(tmp_path / "s") as other:
            first, other_file = tmp_path / "s", other.file
            assert other_file is not None
    with listening(tmp_path / "s"):
        os.unlink(tmp_path / "s")
        first.touch()
    assert first.exists()


def test_a_path_in_use(tmp_path: Path) -> None:
    """It is not taken over; a file that is not a socket is not removed."""
    with listening(tmp_path / "s"), pytest.raises(SettingsError, match="in use; stop the program"):
        listen(BindAddress(short(tmp_path / "s"), "", 0))
    (tmp_path / "file").write_text("precious")
    with pytest.raises(SettingsError, match="in use; stop the program"):
        listen(BindAddress(short(tmp_path / "file"), "", 0))
    assert (tmp_path / "file").read_text() == "precious"


def test_a_path_that_was_left_behind(tmp_path: Path) -> None:
    """A socket on which no process listens is replaced."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(short(tmp_path / "s"))
    with listening(tmp_path / "s"):
        assert can_connect(tmp_path / "s")
