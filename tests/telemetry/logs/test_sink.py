from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.telemetry.logs.logger import DescriptorSink

LINE = b"x" * 299 + b"\n"
MANY = 20_000
"""Lines of more bytes than any pipe or socket holds for a reader who does not read."""


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """End a test that waits for a reader: nothing else could."""
    signal.alarm(20)
    yield
    signal.alarm(0)


@pytest.fixture(params=["opened-again", "polled"])
def pipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Return both ends of a pipe, which may be one that cannot be opened once more."""
    if request.param == "polled":

        def refuse(*_: object) -> int:
            raise PermissionError

        monkeypatch.setattr(os, "open", refuse)
    ends = list(os.pipe())
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):  # a test has closed it
            os.close(end)


def test_lines_arrive_as_written(pipe: list[int]) -> None:
    sink = DescriptorSink(pipe[1])
    sink(b"one\n")
    sink(b"two\n")

    assert os.read(pipe[0], 100) == b"one\ntwo\n"


def test_a_reader_that_has_gone_fails_nothing(pipe: list[int]) -> None:
    os.close(pipe[0])
    sink = DescriptorSink(pipe[1])
    sink(b"one\n")

    assert sink.lost == 1


def test_a_line_that_was_cut_does_not_swallow_the_next(pipe: list[int]) -> None:
    sink = DescriptorSink(pipe[1])
    sink(b"x" * (4 << 20) + b"\n")
    drain(pipe[0])
    sink(b"whole\n")

    assert sink.lost == 1
    assert os.read(pipe[0], 100) == b"\nwhole\n"


def test_a_reader_that_stops_reading_holds_nothing_up(pipe: list[int]) -> None:
    sink = DescriptorSink(pipe[1])
    for _ in range(MANY):
        sink(LINE)
    lost = sink.lost
    read = drain(pipe[0])
    sink(b"again\n")

    assert lost > 0
    assert read == LINE * (MANY - lost)
    assert os.read(pipe[0], 100) == b"again\n"
    assert sink.lost == lost


def test_a_pipe_holds_what_a_moment_without_its_reader_needs(pipe: list[int]) -> None:
    sink = DescriptorSink(pipe[1])
    for _ in range(3_000):
        sink(LINE)

    assert sink.lost == 0


def test_of_many_lines_a_full_pipe_takes_whole_ones_and_the_rest_is_counted(
    pipe: list[int],
) -> None:
    sink = DescriptorSink(pipe[1])
    for _ in range(MANY // 50):
        sink(LINE * 50)
    lost = sink.lost
    read = drain(pipe[0])
    sink(LINE * 50)

    assert lost > 0
    assert read == LINE * (MANY - lost)
    assert drain(pipe[0]) == LINE * 50


def test_processes_that_share_a_pipe_do_not_tear_each_others_lines() -> None:
    reading, writing = os.pipe()
    lines = {name: bytes([name]) * 700 + b"\n" for name in b"abcd"}
    sinks = {name: DescriptorSink(writing) for name in lines}
    writers = [
        threading.Thread(target=lambda name=name: [sinks[name](lines[name] * 13) for _ in range(9)])
        for name in lines
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    read = drain(reading).splitlines(keepends=True)
    os.close(reading)
    os.close(writing)

    assert sum(sink.lost for sink in sinks.values()) == 0
    assert Counter(read) == dict.fromkeys(lines.values(), 9 * 13)


def test_a_line_that_is_longer_than_a_write_is_written_among_others(pipe: list[int]) -> None:
    sink = DescriptorSink(pipe[1])
    lines = b"one\n" + b"x" * 10_000 + b"\ntwo\n" + LINE * 20
    sink(lines)

    assert drain(pipe[0]) == lines


def test_of_many_lines_a_full_socket_tears_one_which_ends_before_the_next() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_001)
        sink = DescriptorSink(ours.fileno())
        for _ in range(100):
            sink(LINE * 7)
        lost = sink.lost
        read = drain(theirs.fileno())
        sink(LINE * 7)
        read += drain(theirs.fileno())
        whole = [line for line in read.split(b"\n") if line == LINE[:-1]]

        assert sink.lost == lost > 0
        assert len(whole) == 707 - lost
        assert read.endswith(b"\n" + LINE * 7)


def test_a_datagram_is_one_line() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        DescriptorSink(ours.fileno())(b"one\ntwo\n")

        assert [theirs.recv(100), theirs.recv(100)] == [b"one\n", b"two\n"]


def test_a_reader_of_a_socket_that_stops_reading_holds_nothing_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sink = DescriptorSink(ours.fileno())
        for _ in range(MANY):
            sink(LINE)
        lost = sink.lost
        read = drain(theirs.fileno())
        sink(b"again\n")

        assert lost > 0
        assert theirs.recv(100).endswith(b"again\n")
    assert read.startswith(LINE * (MANY - lost))


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_those_who_share_the_descriptor_wait_as_before(kind: str) -> None:
    reading, writing = os.pipe() if kind == "pipe" else (s.detach() for s in socket.socketpair())
    DescriptorSink(writing)(b"one\n")

    assert os.get_blocking(writing)
    os.close(reading)
    os.close(writing)


def test_it_keeps_nothing_open_that_it_opened() -> None:
    gc.collect()  # or what others left open might be closed while this counts
    before = len(list(Path("/proc/self/fd").iterdir()))
    reading, writing = os.pipe()
    sink = DescriptorSink(writing)
    sink(b"one\n")
    del sink
    os.close(writing)

    assert os.read(reading, 100) == b"one\n"
    assert os.read(reading, 100) == b""
    os.close(reading)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_is_written_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab") as file:
        sink = DescriptorSink(file.fileno())
        sink(b"one\n")
        sink(b"two\n")

    assert log.read_bytes() == b"one\ntwo\n"


def drain(descriptor: int) -> bytes:
    """Return all that waits to be read."""
    read = b""
    while select.select([descriptor], [], [], 0)[0]:
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            break
        read += piece
    return read
