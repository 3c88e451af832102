from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios

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


def test_the_kernel_keeps_little_of_what_a_client_does_not_read() -> None:
    """A pod's memory counts what the kernel keeps for its sockets."""
    data = bytes(1 << 20)
    (listening,) = sockets.open_sockets(TcpAddress("127.0.0.1", 0))
    with listening, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect(listening.getsockname())
        client.setblocking(False)  # noqa: FBT003 - the signature of the standard library
        with listening.accept()[0] as accepted:
            accepted.setblocking(False)  # noqa: FBT003 - as above
            for reads in (True, False):  # what is read fast makes the buffers grow
                for _ in range(200):
                    with contextlib.suppress(BlockingIOError):
                        accepted.send(data)
                    with contextlib.suppress(BlockingIOError):
                        while reads and client.recv(1 << 20):
                            pass
            kept = struct.unpack("i", fcntl.ioctl(accepted, termios.TIOCOUTQ, bytes(4)))[0]

    assert 0 < kept < 512 * 1024
