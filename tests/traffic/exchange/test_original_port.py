from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest

from proxy.config.settings import TcpAddress
from proxy.core.errors import UpstreamFailed
from proxy.traffic.exchange.original_port import PoolCount, PortUpstreams
from proxy.traffic.policy import MOST_PORTS
from proxy.traffic.upstream.client import HttpUpstream


def at(port: int) -> TcpAddress:
    """Return a port of the pod."""
    return TcpAddress("10.1.2.3", port)


async def test_each_port_has_one_upstream() -> None:
    ports = PortUpstreams(HttpUpstream)
    try:
        assert ports.of(at(8080)) is ports.of(at(8080))
        assert ports.of(at(8080)).names == {b"10.1.2.3:8080"}
        assert ports.of(at(9000)) is not ports.of(at(8080))
        assert (ports.pool.size, ports.pool.idle) == (0, 0)
    finally:
        await ports.close()


async def test_a_client_that_was_not_redirected_has_none() -> None:
    ports = PortUpstreams(HttpUpstream)
    try:
        with pytest.raises(UpstreamFailed, match="not-redirected"):
            ports.of(None)
    finally:
        await ports.close()


@dataclass(frozen=True, slots=True)
class _InUse:
    """An upstream with one connection, as far as it is asked."""

    address: TcpAddress
    pool: PoolCount = field(default_factory=lambda: PoolCount(1, 1))

    async def close(self) -> None:
        """Drop it."""


def in_use(address: TcpAddress) -> HttpUpstream:
    """Return an upstream with a connection."""
    return cast("HttpUpstream", _InUse(address))


async def test_who_calls_every_port_takes_none_from_those_in_use() -> None:
    """Clients choose the port: the redirect takes all of them."""
    ports = PortUpstreams(lambda one: (in_use if one.port == 8080 else HttpUpstream)(one))
    try:
        used = ports.of(at(8080))
        for port in range(10000, 10000 + 3 * MOST_PORTS):
            ports.of(at(port))
        assert ports.of(at(8080)) is used
        assert len(ports.every) == MOST_PORTS
    finally:
        await ports.close()


async def test_ports_are_bounded() -> None:
    made: list[TcpAddress] = []

    def make(address: TcpAddress) -> HttpUpstream:
        made.append(address)
        return in_use(address)

    ports = PortUpstreams(make)
    try:
        for port in range(1, MOST_PORTS + 1):
            ports.of(at(port))
        with pytest.raises(UpstreamFailed, match="too-many-ports"):
            ports.of(at(MOST_PORTS + 1))
        assert len(made) == MOST_PORTS + 1  # with the one that leads nowhere
    finally:
        await ports.close()
