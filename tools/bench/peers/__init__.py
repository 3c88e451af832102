"""The proxies that are measured side by side: one module for each, in one table."""

from __future__ import annotations

from typing import Final

from . import envoy, forwarder, haproxy, mitmproxy, nginx, obvious_aiohttp, sealyard
from .base import Peer, Place

__all__ = ["PEERS", "Peer", "Place"]

PEERS: Final[tuple[Peer, ...]] = (
    *sealyard.PEERS,
    *forwarder.PEERS,
    *nginx.PEERS,
    *haproxy.PEERS,
    *envoy.PEERS,
    *mitmproxy.PEERS,
    *obvious_aiohttp.PEERS,
)
