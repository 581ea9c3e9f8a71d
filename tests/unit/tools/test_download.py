from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolbox import download
from toolbox.errors import Unavailable


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that accepts and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def address_of(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}/file"


def test_a_host_that_does_not_answer_is_given_up(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.2)
    with pytest.raises(Unavailable, match=r"127.0.0.1:\d+ is not reachable \(no answer within"):
        download.text(address_of(listener))


def test_a_host_that_did_not_answer_is_not_asked_again(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.2)
    with pytest.raises(Unavailable):
        download.text(address_of(listener))
    started = time.monotonic()
    with pytest.raises(Unavailable, match="is not reachable"):
        download.text(f"{address_of(listener)}/another")
    assert time.monotonic() - started < 0.1


def test_a_download_that_breaks_off_is_no_wrong_file(listener: socket.socket, tmp_path: Path) -> None:
    def half_an_answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

    threading.Thread(target=half_an_answer, daemon=True).start()
    with pytest.raises(Unavailable, match=r"broke off .*after 9 of 100 bytes"):
        download.to_file(address_of(listener), tmp_path / "file")
