from __future__ import annotations

import socket

from proxy.config.settings import TcpAddress
from proxy.traffic.downstream import sockets
from tests.servers import free_port


def test_a_star_is_every_address_of_both_families() -> None:
    port = free_port()
    opened = sockets.open_sockets(TcpAddress("*", port))
    try:
        assert {one.family for one in opened} == {socket.AF_INET, socket.AF_INET6}
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), 5).close()
    finally:
        sockets.close(opened)
