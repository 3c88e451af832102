import dataclasses
from ipaddress import ip_network
from typing import get_args

import pytest

from proxy.config.ladder_settings import LadderSettings, NamedClient
from proxy.config.limits import Timeouts, TrafficLimits
from proxy.config.schema.declarations import default_of
from proxy.config.schema.json_schema import SECTIONS
from proxy.config.settings import ClientClose
from tests.config.builders import changed, loaded, problems_of


def _defaults(name: str) -> str:
    """Return the keys of a section with their defaults as the reference shows them."""
    (keys,) = (one.keys for one in SECTIONS if one.name == name)
    said = ((key.name, default_of(key)) for key in keys)
    return ", ".join(f"{key}: {default}" for key, default in said if default)


def test_each_written_default_is_the_default() -> None:
    limits, timeouts = _defaults("limits"), _defaults("timeouts")
    more = f"\n    limits: {{{limits}}}\n    timeouts: {{{timeouts}}}"

    (listener,) = loaded(changed("unmatched: pass", f"unmatched: pass{more}")).settings.listeners

    assert len(dataclasses.fields(Timeouts)) == timeouts.count(":")
    assert (TrafficLimits(), Timeouts()) == (listener.limits, listener.timeouts)


def test_sealed_streams_have_no_limit_unless_given() -> None:
    more = "unmatched: pass\n    limits: {stream: 4GiB}"

    (listener,) = loaded(changed("unmatched: pass", more)).settings.listeners

    assert (TrafficLimits().stream, listener.limits.stream) == (None, 4 * 1024**3)


def test_client_names_have_a_product_a_network_or_both() -> None:
    more = (
        "unmatched: pass\n    client_names:\n    - {name: ios, user_agent: clinic-ios}\n"
        "    - {name: night, user_agent: clinic-ios, address: 10.2.0.0/16}\n"
        "    find_sensitive: true"
    )
    (listener,) = loaded(changed("unmatched: pass", more)).settings.listeners

    assert listener.ladder == LadderSettings(
        (
            NamedClient("ios", "clinic-ios"),
            NamedClient("night", "clinic-ios", ip_network("10.2.0.0/16")),
        ),
        finds_sensitive=True,
    )


def test_client_names_are_not_too_many() -> None:
    rows = "\n".join(f"    - {{name: c{number}, user_agent: x}}" for number in range(65))
    text = changed("unmatched: pass", f"unmatched: pass\n    client_names:\n{rows}")
    assert problems_of(text) == [
        "10:5 listeners[0].client_names 65 client names are too many; the limit is 64"
    ]


def test_trusted_proxies_are_networks() -> None:
    more = 'unmatched: pass\n    trusted_proxies: [10.0.0.0/8, 192.0.2.7, "fd00::/8"]'

    (listener,) = loaded(changed("unmatched: pass", more)).settings.listeners

    assert listener.trusted_proxies == tuple(
        ip_network(one) for one in ("10.0.0.0/8", "192.0.2.7/32", "fd00::/8")
    )
    assert not listener.proxy_protocol


def test_names_of_the_upstream_are_compared_in_lower_case() -> None:
    more = 'unmatched: pass\n    upstream_names: [App.Internal, "app:3000", "[FD00::1]:80"]'

    (listener,) = loaded(changed("unmatched: pass", more)).settings.listeners

    assert listener.upstream_names == ("app.internal", "app:3000", "[fd00::1]:80")


@pytest.mark.parametrize("written", [*get_args(ClientClose), None])
def test_a_client_that_closes_is_probed_unless_the_listener_says_otherwise(
    written: str | None,
) -> None:
    more = "unmatched: pass" + (f"\n    on_client_close: {written}" if written else "")

    (listener,) = loaded(changed("unmatched: pass", more)).settings.listeners

    assert listener.on_client_close == (written or "probe")


def test_the_proxy_protocol_needs_proxies_that_are_trusted() -> None:
    more = "unmatched: pass\n    proxy_protocol: true"
    trusted = f"{more}\n    trusted_proxies: [10.0.0.0/8]"

    (listener,) = loaded(changed("unmatched: pass", trusted)).settings.listeners

    assert listener.proxy_protocol
    (problem,) = problems_of(changed("unmatched: pass", more))
    assert "`proxy_protocol` needs" in problem
