"""TLS, limits, timeouts, proxies and client names of a listener."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_network
from typing import Final

from ..ladder_settings import OTHER_CLIENT, NamedClient
from ..limits import Timeouts, TrafficLimits
from ..schema.addresses import Files
from ..schema.listener_keys import CLIENT_NAME, LIMITS, MOST, SIZES, TIMEOUTS, TLS, UPSTREAM_TLS
from ..schema.tables import Fields
from ..settings import ListenerTls, Network, UpstreamTls
from ..yaml.nodes import Place, Problems, show
from ..yaml.scalars import elements, positive_duration, size, text, whole

_MOST_SECONDS: Final = 86_400.0


def limits(place: Place | None, problems: Problems) -> TrafficLimits:
    """Return the limits, with defaults for those that are not given."""
    if place is None:
        return TrafficLimits()
    fields = Fields(place, LIMITS, problems)
    found: dict[str, int | None] = {}
    for key in LIMITS.keys:
        one = fields.get(key.name)
        if one is not None:
            is_size = key.name in SIZES
            found[key.name] = (
                size(one, problems) if is_size else whole(one, problems, low=1, high=MOST)
            )
    return replace(TrafficLimits(), **{name: n for name, n in found.items() if n is not None})


def timeouts(place: Place | None, problems: Problems) -> Timeouts:
    """Return the timeouts, with defaults for those that are not given."""
    if place is None:
        return Timeouts()
    fields = Fields(place, TIMEOUTS, problems)
    found: dict[str, float | None] = {}
    for key in TIMEOUTS.keys:
        one = fields.get(key.name)
        if one is not None:
            found[key.name] = positive_duration(one, problems, high=_MOST_SECONDS)
    return replace(Timeouts(), **{name: n for name, n in found.items() if n is not None})


def networks(place: Place | None, problems: Problems) -> tuple[Network, ...]:
    """Return networks, each with its prefix length; a single address is a network of one."""
    places = [] if place is None else elements(place, problems)
    found = (_network(one, problems) for one in places)
    return tuple(one for one in found if one is not None)


def _network(place: Place, problems: Problems) -> Network | None:
    written = text(place, problems)
    if written is None:
        return None
    try:
        return ip_network(written)
    except ValueError:
        hint = "write `10.0.0.0/8`, `192.0.2.7` or `fd00::/8`, with no bits set after the prefix"
        problems.add(place, f"{show(written)} is not a network", hint)
        return None


MOST_CLIENT_NAMES: Final = 64
_CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PRODUCT: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
"""A token of RFC 9110 section 5.6.2."""


def client_names(place: Place | None, problems: Problems) -> tuple[NamedClient, ...]:
    """Return the clients that reports may name."""
    places = [] if place is None else elements(place, problems)
    if place is not None and len(places) > MOST_CLIENT_NAMES:
        problems.add(
            place, f"{len(places)} client names are too many; the limit is {MOST_CLIENT_NAMES}"
        )
        return ()
    found: dict[str, NamedClient] = {}
    for at in places:
        one = _client_name(at, problems)
        if one is not None:
            if one.name in found or one.name == OTHER_CLIENT:
                problems.add(at, f"the name {show(one.name)} is given twice", "give each its own")
            found[one.name] = one
    return tuple(found.values())


def _client_name(place: Place, problems: Problems) -> NamedClient | None:
    fields = Fields(place, CLIENT_NAME, problems)
    name = fields.read("name", text, problems)
    if name is not None and not _CLIENT_NAME.fullmatch(name):
        hint = "1 to 64 of the characters A-Z a-z 0-9 . _ -"
        problems.add(fields["name"], f"{show(name)} is not a name", hint)
    product = fields.read("user_agent", text, problems)
    if product is not None and not _PRODUCT.fullmatch(product):
        hint = "write what the header begins with, without the version: `clinic-ios`"
        problems.add(fields["user_agent"], f"{show(product)} is not a product", hint)
    network = fields.read("address", _network, problems)
    if fields.whole and not (fields.get("user_agent") or fields.get("address")):
        problems.add(place, "names no `user_agent` and no `address`", "write one of them")
    return None if name is None else NamedClient(name, product, network)


def listener_tls(place: Place | None, files: Files, problems: Problems) -> ListenerTls | None:
    """Return the TLS settings for clients, None if there are none."""
    if place is None:
        return None
    fields = Fields(place, TLS, problems)
    cert, key, client_ca = (
        fields.read(name, files.path, problems) for name in ("cert", "key", "client_ca")
    )
    return None if cert is None or key is None else ListenerTls(cert, key, client_ca)


def upstream_tls(
    place: Place | None, files: Files, problems: Problems, *, plain: bool
) -> UpstreamTls | None:
    """Return the TLS settings for the upstream; report them if the upstream is `plain` HTTP."""
    if place is None:
        return None
    fields = Fields(place, UPSTREAM_TLS, problems)
    ca, cert, key = (fields.read(name, files.path, problems) for name in ("ca", "cert", "key"))
    if (fields.get("cert") is None) != (fields.get("key") is None):
        problems.add(place, "`cert` and `key` need each other", "give both or none")
    if plain:
        problems.add(place, "only applies to an `https` upstream", "write `https://` or delete it")
    return UpstreamTls(ca, cert, key, fields.read("server_name", text, problems))
