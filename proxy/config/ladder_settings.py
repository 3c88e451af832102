"""What the ladder of a listener may report."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

OTHER_CLIENT: Final = "other"
"""The name in reports of every client that the configuration does not name."""


@dataclass(frozen=True, slots=True)
class NamedClient:
    """A client that reports may name: the product in its User-Agent, its network, or both."""

    name: str
    user_agent: str | None = None
    address: IPv4Network | IPv6Network | None = None


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """The clients that have names, and whether members are looked for that look sensitive."""

    client_names: tuple[NamedClient, ...] = ()
    finds_sensitive: bool = False
