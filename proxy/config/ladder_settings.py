"""What the ladder of a listener may report."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

OTHER_CALLER: Final = "other"
"""What all callers are called that the configuration does not name."""


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """A caller that reports may name: the product in its User-Agent, its network, or both."""

    name: str
    user_agent: str | None = None
    address: IPv4Network | IPv6Network | None = None


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """The callers by name, and whether members are looked for that look sensitive."""

    callers: tuple[CallerSettings, ...] = ()
    finds_sensitive: bool = False
