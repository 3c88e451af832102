"""Calls of a key service: bounded in time and in size, however the service behaves."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from proxy.core.errors import KeyringError
from proxy.keys.keyring.roots.key_service import call
from proxy.keys.policy import ANSWER_BYTES

_SECONDS = 0.6
_OK = b"HTTP/1.1 200 OK\r\n"
Answering = Callable[[socket.socket], None]


@contextmanager
def service(answer: Answering) -> Iterator[str]:
    """Run a server that reads a request and then does as `answer` says; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with suppress(OSError), listening.accept()[0] as connection:
                connection.recv(65536)
                with suppress(OSError):
                    answer(connection)

        running = threading.Thread(target=run)
        running.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        running.join(10)
        assert not running.is_alive()


def sends(*parts: bytes) -> Answering:
    def answer(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)

    return answer


def drips(begin: bytes, again: bytes) -> Answering:
    """Return what sends a little now and then, and never comes to an end by itself."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(begin)
        deadline = time.monotonic() + 4 * _SECONDS
        while time.monotonic() < deadline:
            connection.sendall(again)
            time.sleep(_SECONDS / 6)

    return answer


@pytest.mark.timing
@pytest.mark.parametrize(
    "answer",
    [
        drips(b"", b"H"),
        drips(_OK, b"X-A: b\r\n"),
        drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drips(_OK + b"Content-Length: 1000\r\n\r\n", b"x"),
        drips(_OK + b"\r\n", b"x"),
        drips(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["status line", "head", "interim", "body", "body to the end", "chunks"],
)
def test_a_service_that_drips_gets_no_more_time_than_one_that_is_silent(answer: Answering) -> None:
    with service(answer) as url:
        began = time.monotonic()
        with pytest.raises(KeyringError, match="no answer in time"):
            call("GET", url, {}, seconds=_SECONDS)
        took = time.monotonic() - began
        # The service goes on for three times as long.
        while any(one.name == "key-service" for one in threading.enumerate()):
            assert time.monotonic() < began + 3 * _SECONDS, "the thread of the call did not end"
            time.sleep(0.02)
    assert took == pytest.approx(_SECONDS, abs=0.4)


def test_a_process_at_its_limit_of_threads_gets_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(KeyringError, match="no thread to ask it"):
        call("GET", "http://127.0.0.1:1/", {}, seconds=_SECONDS)


def test_a_whole_answer_in_many_parts_is_taken() -> None:
    parts = (_OK, b"Content-Length: 10\r\n", b"\r\n", b'{"a": "', b'b"}')
    with service(sends(*parts)) as url:
        assert call("GET", url, {}, seconds=5).json() == {"a": "b"}


@pytest.mark.parametrize(
    "parts",
    [
        (_OK + b"\r\n", b"x" * (ANSWER_BYTES + 1)),
        (_OK, *([b"X-Long: " + b"a" * 60_000 + b"\r\n"] * 40)),
        (b"HTTP/1.1 100 Continue\r\nX-Long: " + b"a" * 60_000 + b"\r\n\r\n",) * 40,
        (
            _OK + b"Transfer-Encoding: chunked\r\n\r\n",
            *([b"1;" + b"e" * 60_000 + b"\r\nx\r\n"] * 40),
        ),
    ],
    ids=["body", "head", "interim", "chunk extensions"],
)
def test_an_answer_is_bounded_with_all_that_belongs_to_it(parts: tuple[bytes, ...]) -> None:
    refused = pytest.raises(KeyringError, match=f"has more than {ANSWER_BYTES} bytes")
    with service(sends(*parts)) as url, refused:
        call("GET", url, {}, seconds=5)


def test_the_largest_answer_is_taken() -> None:
    with service(sends(_OK + b"\r\n", b"x" * ANSWER_BYTES)) as url:
        assert len(call("GET", url, {}, seconds=5).body) == ANSWER_BYTES
