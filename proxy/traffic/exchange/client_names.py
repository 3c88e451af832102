"""The names that the configuration gives to clients, so that a report can tell them apart.

Who is on no list is `other`: neither addresses nor texts that a client chose are reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Network, ip_address

from ...config.ladder_settings import OTHER_CLIENT, NamedClient
from ...core.http.message import Headers, header_values


class ClientNames:
    """The named clients of one listener; the first that fits is taken."""

    __slots__ = ("_names",)

    def __init__(self, clients: Sequence[NamedClient] = ()) -> None:
        self._names = tuple(clients)

    def name(self, headers: Headers, client: str) -> str:
        """Return the name of the client of a request, empty where none are configured.

        `client` is who has sent it: an address, or an IPv6 network (see `client_name`).
        """
        for one in self._names:
            if _sends(one, headers) and _is_in(one, client):
                return one.name
        return OTHER_CLIENT if self._names else ""


def _sends(named: NamedClient, headers: Headers) -> bool:
    """Return whether a User-Agent begins with the client's product (RFC 9110 section 10.1.5)."""
    if named.user_agent is None:
        return True
    wanted = named.user_agent.encode()
    return any(
        value.replace(b" ", b"/").split(b"/", 1)[0] == wanted
        for value in header_values(headers, b"user-agent")
    )


def _is_in(named: NamedClient, client: str) -> bool:
    network = named.address
    if network is None:
        return True
    if not client:
        return False
    if "/" in client:
        return isinstance(network, IPv6Network) and IPv6Network(client).overlaps(network)
    return ip_address(client) in network
