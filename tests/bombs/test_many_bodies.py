"""Many large bodies at once: a sidecar that may take 256 MiB takes no more, and serves others."""

from __future__ import annotations

import base64
import contextlib
import gzip
import random  # noqa: TID251 - a body that can be had again
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from .makers import MEBIBYTE
from .rig import Sidecar, running

pytestmark = pytest.mark.timing

LIMIT: Final = 256 * MEBIBYTE
SMALL: Final = b'{"content":"hi"}'
_HEAD: Final = b"%b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n"


def a_body(size: int) -> bytes:
    return b'{"content":"%b"}' % (b"a" * (size - len(b'{"content":""}')))


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    with running(tmp_path, "memory: 256MiB\n") as found:
        Path(f"/proc/{found.process.pid}/clear_refs").write_text("5")
        yield found
        assert found.process.poll() is None
        assert found.highest < LIMIT


def answered(client: socket.socket) -> int:
    answer = b""
    with contextlib.suppress(OSError):
        while part := client.recv(1 << 16):
            answer += part
    return int(answer[9:12] or b"0")


def all_at_once(number: int, act: Callable[[int], int]) -> Counter[int]:
    """Return how often each status came of so many acts side by side."""
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda one=one: statuses.append(act(one))) for one in range(number)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(statuses)


def connected(sidecar: Sidecar) -> socket.socket:
    return socket.create_connection(("127.0.0.1", sidecar.port), 60)


def upload(sidecar: Sidecar, body: bytes, coding: str = "") -> int:
    coded = f"Content-Encoding: {coding}\r\n" if coding else ""
    with connected(sidecar) as client, contextlib.suppress(OSError):
        head = _HEAD % b"POST /sealed" + coded.encode()
        client.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return answered(client)
    return 0


def test_twenty_uploads_of_8_mib_are_served_or_refused_in_time(sidecar: Sidecar) -> None:
    body = a_body(8 * MEBIBYTE)
    statuses = all_at_once(20, lambda _: upload(sidecar, body))
    # On a quiet machine all are served, within three seconds.
    assert statuses[200] + statuses[503] == 20
    assert statuses[200] >= 5
    assert len(sidecar.backend.bodies) == statuses[200]


@pytest.mark.slow
def test_slow_uploads_and_chunks_hold_up_nobody(sidecar: Sidecar) -> None:
    body = a_body(8 * MEBIBYTE - 1)
    over = threading.Event()
    small: list[int] = []

    def ask() -> None:
        while not over.wait(0.2):
            small.append(upload(sidecar, SMALL))

    def slowly(number: int) -> int:
        chunked = bool(number % 2)
        with connected(sidecar) as client:
            frame = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
            client.sendall(_HEAD % b"POST /sealed" + frame + b"\r\n\r\n")
            with contextlib.suppress(OSError):
                for at in range(0, len(body), 1 << 16):
                    piece = body[at : at + (1 << 16)]
                    client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                    time.sleep(0.6 if number % 4 < 2 else 0.02)
                if chunked:
                    client.sendall(b"0\r\n\r\n")
            return answered(client)

    asking = threading.Thread(target=ask)
    asking.start()
    statuses = all_at_once(100, slowly)
    over.set()
    asking.join()
    assert set(statuses) <= {200, 503, 0}  # 0: the end of a refused upload met a reset
    assert statuses[200] >= 1
    assert set(small) == {200}
    # Whatever was answered with 503 has not reached the backend, and all else has, once.
    assert len(sidecar.backend.bodies) == statuses[200] + len(small)


def test_compressed_bodies_count_as_what_they_become(sidecar: Sidecar) -> None:
    noise = base64.b64encode(random.Random(1).randbytes(150_000))  # noqa: S311 - not compressible
    packed = gzip.compress(b'{"content":"%b%b"}' % (noise, b"a" * (15 * MEBIBYTE)))
    assert len(packed) > 150_000
    statuses = all_at_once(20, lambda _: upload(sidecar, packed, "gzip"))
    assert set(statuses) <= {200, 503}
    assert statuses[200] >= 4


def test_readers_that_do_not_read_hold_no_more_than_there_is(sidecar: Sidecar) -> None:
    assert upload(sidecar, a_body(8 * MEBIBYTE)) == 200
    sidecar.backend.reply = sidecar.backend.bodies.pop()

    def read_late(_: int) -> int:
        with connected(sidecar) as client:
            client.sendall(_HEAD % b"GET /opened" + b"\r\n")
            time.sleep(8)
            return answered(client)

    statuses = all_at_once(30, read_late)
    assert sum(statuses.values()) == 30
    assert set(statuses) <= {200, 0}  # an answer is never refused; who did not read may be cut
    assert upload(sidecar, SMALL) == 200


def test_requests_sent_in_advance_are_kept_only_while_there_is_room(sidecar: Sidecar) -> None:
    one = _HEAD.replace(b"Connection: close\r\n", b"") % b"POST /sealed"
    many = (one + b"Content-Length: 9000\r\n\r\n" + a_body(9000)) * 60

    def in_advance(_: int) -> int:
        with connected(sidecar) as client:
            with contextlib.suppress(OSError):
                client.sendall(many)
                client.shutdown(socket.SHUT_WR)
            return answered(client)

    assert set(all_at_once(300, in_advance)) <= {200, 503, 0}
    assert upload(sidecar, SMALL) == 200
