"""Client names: the configuration tells clients apart, never a text of their own."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from proxy.config.ladder_settings import NamedClient
from proxy.traffic.exchange.client_names import ClientNames

NAMES = ClientNames(
    (
        NamedClient("night", "clinic-ios", ip_network("10.9.0.0/16")),
        NamedClient("ios", "clinic-ios"),
        NamedClient("reports", None, ip_network("10.0.0.0/8")),
        NamedClient("site", None, ip_network("2001:db8::/48")),
    )
)


@pytest.mark.parametrize(
    ("agent", "client", "expected"),
    [
        (b"clinic-ios/3.2 (iPhone)", "192.0.2.1", "ios"),
        (b"clinic-ios", "192.0.2.1", "ios"),
        (b"clinic-ios (iPhone)", "10.9.3.4", "night"),
        (b"clinic-ios-beta/1", "192.0.2.1", "other"),
        (b"clinic-ios-beta/1", "10.1.2.3", "reports"),
        (b"Mozilla/5.0 clinic-ios/3.2", "192.0.2.1", "other"),
        (b"x", "2001:db8:0:7::/64", "site"),
        (b"x", "2001:db9:0:7::/64", "other"),
        (b"x", "", "other"),
        (b"ada@example.org", "192.0.2.1", "other"),
    ],
)
def test_a_client_is_named_as_the_configuration_says(
    agent: bytes, client: str, expected: str
) -> None:
    assert NAMES.name(((b"User-Agent", agent),), client) == expected


def test_without_names_nobody_is_named() -> None:
    assert ClientNames().name(((b"User-Agent", b"clinic-ios/3"),), "10.1.2.3") == ""


def test_a_request_without_a_user_agent_is_told_by_its_address_alone() -> None:
    assert NAMES.name((), "10.9.3.4") == "reports"
