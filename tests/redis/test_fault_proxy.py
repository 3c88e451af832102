"""The proxy that spoils replies does what it says: otherwise no test that uses it could fail."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from .fault_proxy import KINDS, FaultProxy, Kind, reply_end
from .server import Server, needs_redis

pytestmark = needs_redis
PING = b"*2\r\n$4\r\nPING\r\n$1\r\na\r\n"
PONG = b"$1\r\na\r\n"


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.port, spoiled=()).running() as proxy:
        yield proxy


def said(
    proxy: FaultProxy, times: int = 1, first: float = 5.0, last: float = 0.3, size: int = 100
) -> bytes:
    """Send PINGs over one connection; return all that came, and `RST` where it was reset.

    `first` are the seconds for each first answer, `last` those for what comes after the last one,
    until so many bytes are there.
    """
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as near:
        near.settimeout(first)
        heard = b""
        try:
            for _ in range(times):
                near.sendall(PING)
                heard += near.recv(100)
            near.settimeout(last)
            while len(heard) < size and (more := near.recv(100)):
                heard += more
        except ConnectionResetError:
            return heard + b"RST"
        except TimeoutError:
            return heard
        return heard if len(heard) >= size else heard + b"FIN"


def test_without_faults_all_passes(proxy: FaultProxy) -> None:
    assert said(proxy, 3) == PONG * 3
    assert proxy.faults == 0


@pytest.mark.parametrize(
    ("kind", "heard"),
    [
        ("reset", {b"RST"}),
        ("close", {b"FIN"}),
        ("cut", {PONG[:n] + end for n in range(len(PONG)) for end in (b"RST", b"FIN")}),
        ("swallow", {b""}),
        ("duplicate", {PONG * 2}),
        ("behind", {PONG * 2}),
    ],
)
def test_a_fault_is_what_it_says(proxy: FaultProxy, kind: Kind, heard: set[bytes]) -> None:
    proxy.kinds, proxy.share, proxy.limit = (kind,), 1.0, 1
    size = max(map(len, heard))
    assert said(proxy, first=0.3 if kind == "swallow" else 5.0, last=5.0, size=size) in heard
    assert proxy.counts == {kind: 1}
    assert said(proxy) == PONG


def test_a_late_reply_comes_late_and_whole(proxy: FaultProxy) -> None:
    proxy.kinds = ["delay"]
    proxy.share, proxy.delay_seconds = 1.0, 1.0
    assert said(proxy, first=0.1) == b""
    assert said(proxy) == PONG


@pytest.mark.parametrize("kind", ["flip", "misshapen"])
def test_a_changed_reply_is_another(proxy: FaultProxy, kind: Kind) -> None:
    proxy.kinds, proxy.share = (kind,), 1.0
    assert all(said(proxy) != PONG for _ in range(5))


def test_all_connections_are_reset_at_once(proxy: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as near:
        near.sendall(PING)
        assert near.recv(100) == PONG
        assert proxy.reset_all() == 1
        with pytest.raises(ConnectionResetError):
            near.recv(100)
    proxy.cut_off = True
    assert said(proxy) in {b"RST", b"FIN"}
    proxy.cut_off = False
    assert said(proxy) == PONG


def test_only_the_connections_of_sealyard_are_spoilt(server: Server) -> None:
    with FaultProxy(server.port, share=1.0, kinds=KINDS).running() as proxy:
        assert said(proxy, 20) == PONG * 20


def test_a_reply_ends_where_it_ends() -> None:
    for one in (b"+OK\r\n", PONG, b"$-1\r\n", b"*-1\r\n", b"*2\r\n*1\r\n:1\r\n$2\r\nab\r\n"):
        assert reply_end(one + b"+more") == len(one)
        assert all(reply_end(one[:n]) == -1 for n in range(len(one)))
