from __future__ import annotations

import pytest

from proxy.config.settings import TcpAddress
from proxy.core.errors import UpstreamFailed
from proxy.traffic.exchange.original_port import MOST_PORTS, PortUpstreams
from proxy.traffic.upstream.client import HttpUpstream


async def test_each_port_has_one_upstream() -> None:
    ports = PortUpstreams(HttpUpstream)
    try:
        assert ports.of(8080) is ports.of(8080)
        assert ports.of(8080).names == {b"127.0.0.1:8080"}
        assert ports.of(9000) is not ports.of(8080)
        assert (ports.pool.size, ports.pool.idle) == (0, 0)
    finally:
        await ports.close()


async def test_a_client_that_was_not_redirected_has_none() -> None:
    ports = PortUpstreams(HttpUpstream)
    try:
        with pytest.raises(UpstreamFailed, match="not-redirected"):
            ports.of(0)
    finally:
        await ports.close()


async def test_ports_are_bounded() -> None:
    made: list[TcpAddress] = []

    def make(address: TcpAddress) -> HttpUpstream:
        made.append(address)
        return HttpUpstream(address)

    ports = PortUpstreams(make)
    try:
        for port in range(1, MOST_PORTS + 1):
            ports.of(port)
        with pytest.raises(UpstreamFailed, match="too-many-ports"):
            ports.of(MOST_PORTS + 1)
        assert len(made) == MOST_PORTS + 1  # with the one that leads nowhere
    finally:
        await ports.close()
