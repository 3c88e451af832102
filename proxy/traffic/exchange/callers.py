"""Callers: the names that the configuration gives to clients, so that a report can tell them apart.

Who is on no list is `other`: neither addresses nor texts that a client chose are reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Network, ip_address

from ...config.ladder_settings import OTHER_CALLER, CallerSettings
from ...core.http.message import Headers, header_values


class Callers:
    """The callers of one listener; the first that fits is taken."""

    __slots__ = ("_callers",)

    def __init__(self, callers: Sequence[CallerSettings] = ()) -> None:
        self._callers = tuple(callers)

    def name(self, headers: Headers, client: str) -> str:
        """Return the name of the caller of a request, empty where none are configured.

        `client` is who has sent it: an address, or an IPv6 network (see `client_name`).
        """
        for one in self._callers:
            if _sends(one, headers) and _is_in(one, client):
                return one.name
        return OTHER_CALLER if self._callers else ""


def _sends(caller: CallerSettings, headers: Headers) -> bool:
    """Return whether a User-Agent begins with the caller's product (RFC 9110 section 10.1.5)."""
    if caller.user_agent is None:
        return True
    wanted = caller.user_agent.encode()
    return any(
        value.replace(b" ", b"/").split(b"/", 1)[0] == wanted
        for value in header_values(headers, b"user-agent")
    )


def _is_in(caller: CallerSettings, client: str) -> bool:
    network = caller.address
    if network is None:
        return True
    if not client:
        return False
    if "/" in client:
        return isinstance(network, IPv6Network) and IPv6Network(client).overlaps(network)
    return ip_address(client) in network
