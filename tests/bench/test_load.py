from __future__ import annotations

import contextlib
import os
import re
import shutil
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tools.bench import load
from tools.bench.peers import Peer
from tools.bench.running import Running
from tools.bench.works import CONVERSATION, HEAD, Work

pytestmark = pytest.mark.skipif(shutil.which("wrk") is None, reason="no wrk: ./dev packages")
CLOSE = b"Connection: close\r\n\r\n"
WORK = Work(
    "one",
    "one",
    "sealed",
    f"/rooms/r-{HEAD}",
    b'{"mail": "a@@b ##", "conversation": "%b"}' % CONVERSATION.encode(),
    headers=(("Content-Type", "application/json"), ("Cookie", f"s={HEAD}; t={HEAD}")),
    conversations=3,
)


class Seen(socketserver.ThreadingTCPServer):
    """Answers every request, and keeps those of each connection."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.connections: list[list[bytes]] = []

    @property
    def requests(self) -> list[bytes]:
        """Those of all connections."""
        return [request for one in self.connections for request in one]


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # as wrk leaves when its time is up
            self._answer()

    def _answer(self) -> None:
        assert isinstance(self.server, Seen)
        self.server.connections.append(requests := [])
        while line := self.rfile.readline():
            head = line
            while line.strip():
                head += (line := self.rfile.readline())
            length = re.search(rb"Content-Length: (\d+)", head)
            assert length is not None
            requests.append(head + self.rfile.read(int(length[1])))
            ends = CLOSE in head
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + CLOSE * ends)
            if ends:
                return
            self.wfile.write(b"\r\n")


@pytest.fixture
def seen() -> Iterator[Seen]:
    with Seen() as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


def load_with(seen: Seen, work: Work, log: Path) -> load.Sample:
    log.touch()
    peer = Peer("seen", frozenset(), lambda: None, lambda: "", lambda _: [])
    return load.run(Running(peer, seen.server_address[1], os.getpid(), log, 0.0), work, 2, 1)


def numbers(requests: list[bytes]) -> list[int]:
    return [int(re.findall(rb"s=(\d{10})", one)[0]) for one in requests]


def test_each_request_is_what_the_work_says_with_a_number_of_its_own(
    seen: Seen, tmp_path: Path
) -> None:
    for _ in range(2):
        load_with(seen, WORK, tmp_path / "log")

    drawn = numbers(seen.requests)
    assert len(set(drawn)) == len(drawn) > 9
    assert seen.requests == [WORK.at(number).raw() for number in drawn]
    assert len({one.rpartition(b'"conversation"')[2] for one in seen.requests}) == 3
    assert sum(map(bool, seen.connections)) == 4  # and one that wrk only tries


def test_a_conversation_is_new_with_each_message(seen: Seen, tmp_path: Path) -> None:
    work = replace(WORK, conversations=0)
    load_with(seen, work, tmp_path / "log")

    assert seen.requests == [work.at(number).raw() for number in numbers(seen.requests)]
    bodies = [one.rpartition(b'"conversation"')[2] for one in seen.requests]
    assert len(set(bodies)) == len(bodies) > 9


def test_a_connection_ends_with_its_message(seen: Seen, tmp_path: Path) -> None:
    load_with(seen, replace(WORK, connection=1), tmp_path / "log")

    assert len(seen.connections) > 9
    assert all(len(one) <= 1 and all(CLOSE in each for each in one) for one in seen.connections)


def test_a_connection_ends_after_five_messages_on_average(seen: Seen, tmp_path: Path) -> None:
    load_with(seen, replace(WORK, connection=5), tmp_path / "log")

    ending = sum(CLOSE in one for one in seen.requests)
    assert ending == pytest.approx(len(seen.requests) / 5, abs=1)
    assert len(seen.connections) == pytest.approx(ending, abs=3)


def test_a_request_without_numbers_is_the_same_each_time(seen: Seen, tmp_path: Path) -> None:
    work = replace(WORK.at(4711), conversations=1)
    sample = load_with(seen, work, tmp_path / "log")

    assert set(seen.requests) == {work.raw()}
    assert sample.per_second > 9
