"""A14, A15, D13: what a hop says of itself and of the client."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import LoopDetected
from proxy.traffic.http1.forwarding_headers import (
    ForwardingHeaders,
    Peer,
    client_name,
)
from tools.raw_requests import raw_request

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
PEER = Peer("10.1.2.3")
Pair = tuple[bytes, bytes]


def lines(
    *headers: Pair, peer: Peer = PEER, host: bytes = b"h:1", version: tuple[int, int] = (1, 1)
) -> list[bytes]:
    hop = ForwardingHeaders("me", TRUSTED)
    return list(hop.forwarding(raw_request("GET", "/", version, headers), peer, host).lines)


def test_a_stranger_is_shown_as_the_socket_shows_it() -> None:
    forwarding = ForwardingHeaders("me", TRUSTED).forwarding(
        raw_request("GET", "/", (1, 1), ((b"X-Forwarded-For", b"spoof"),)),
        Peer("192.0.2.1", encrypted=True),
        b"h",
    )

    assert forwarding.dropped == {b"x-forwarded-for"}
    assert set(forwarding.lines) == {
        b"Via: 1.1 me",
        b"X-Forwarded-For: 192.0.2.1",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: h",
    }
    assert forwarding.place == b"https://h"


def test_without_an_address_or_a_host_none_is_made_up() -> None:
    assert lines(peer=Peer(), host=b"", version=(1, 0)) == [
        b"Via: 1.0 me",
        b"X-Forwarded-Proto: http",
    ]


def test_the_word_of_a_trusted_proxy_stands_and_it_is_named_last() -> None:
    told = (
        (b"x-forwarded-for", b"1.1.1.1, 2.2.2.2"),
        (b"X-Forwarded-For", b"3.3.3.3"),
        (b"X-Forwarded-Proto", b"HTTPS"),
        (b"X-Forwarded-Host", b"api.test"),
        (b"Forwarded", b"for=1.1.1.1"),
    )

    forwarding = ForwardingHeaders("me", TRUSTED).forwarding(
        raw_request("GET", "/", (1, 1), told), PEER, b"h"
    )

    assert list(forwarding.lines) == [
        b"Via: 1.1 me",
        b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.1.2.3",
        b"Forwarded: for=1.1.1.1, for=10.1.2.3;proto=http",
    ]
    assert forwarding.dropped == {b"x-forwarded-for", b"forwarded"}
    assert forwarding.place == b"https://api.test"


def test_a_trusted_proxy_that_says_nothing_is_itself_the_client() -> None:
    assert lines() == [
        b"Via: 1.1 me",
        b"X-Forwarded-For: 10.1.2.3",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: h:1",
    ]


@pytest.mark.parametrize(
    ("address", "element"), [("fd00::1", b'for="[fd00::1]";proto=http'), ("10.0.0.9", b"10.0.0.9")]
)
def test_addresses_are_spelled_as_rfc_7239_says(address: str, element: bytes) -> None:
    told = lines((b"Forwarded", b"for=x"), peer=Peer(address))

    assert element in told[2]


def test_a_trusted_proxy_that_names_no_host_adds_none() -> None:
    assert lines(host=b"") == [
        b"Via: 1.1 me",
        b"X-Forwarded-For: 10.1.2.3",
        b"X-Forwarded-Proto: http",
    ]


def test_a_peer_without_an_address_is_never_trusted() -> None:
    forwarding = ForwardingHeaders("me", TRUSTED).forwarding(
        raw_request("GET", "/", (1, 1), ((b"X-Forwarded-For", b"1.1.1.1"),)), Peer(), b"h"
    )

    assert forwarding.dropped == {b"x-forwarded-for"}


def test_a_mapped_address_is_its_ipv4_address() -> None:
    told = lines((b"X-Forwarded-For", b"1.1.1.1"), peer=Peer("::ffff:10.0.0.1"))

    assert told[1] == b"X-Forwarded-For: 1.1.1.1, ::ffff:10.0.0.1"


def test_what_is_no_scheme_and_no_host_makes_no_place() -> None:
    told = ((b"X-Forwarded-Proto", b"ftp"), (b"X-Forwarded-Host", b"a b"))

    forwarding = ForwardingHeaders("me", TRUSTED).forwarding(
        raw_request("GET", "/", (1, 1), told), PEER, b"h"
    )

    assert forwarding.place == b"http://h"


@pytest.mark.parametrize("via", [b"1.1 me", b"1.0 a, 1.1 me (x)", b"HTTP/1.1 me"])
def test_a_request_that_was_here_is_a_loop(via: bytes) -> None:
    with pytest.raises(LoopDetected):
        ForwardingHeaders("me").refuse_loop(((b"Via", via),))


@pytest.mark.parametrize("via", [b"1.1 other", b"1.1 menu", b"", b"me2"])
def test_another_name_is_no_loop(via: bytes) -> None:
    ForwardingHeaders("me").refuse_loop(((b"via", via), (b"X", b"me")))


def client(*headers: Pair, address: str = "10.1.2.3") -> str:
    """Return who counts as the client of a request from `address`."""
    hop = ForwardingHeaders("me", TRUSTED)
    return hop.forwarding(raw_request("GET", "/", (1, 1), headers), Peer(address), b"h").client


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ((), "10.1.2.3"),
        (((b"X-Forwarded-For", b"192.0.2.7"),), "192.0.2.7"),
        # What stands to the left of an address that is not trusted was chosen by it.
        (((b"X-Forwarded-For", b"8.8.8.8, 192.0.2.7"),), "192.0.2.7"),
        (((b"X-Forwarded-For", b"8.8.8.8"), (b"x-forwarded-for", b"192.0.2.7")), "192.0.2.7"),
        (((b"X-Forwarded-For", b"8.8.8.8, 192.0.2.7, 10.9.9.9,10.8.8.8"),), "192.0.2.7"),
        (((b"X-Forwarded-For", b"10.9.9.9, 10.8.8.8"),), "10.9.9.9"),
        (((b"X-Forwarded-For", b"192.0.2.7:4711"),), "192.0.2.7"),
        (((b"X-Forwarded-For", b"::ffff:192.0.2.7"),), "192.0.2.7"),
        (((b"X-Forwarded-For", b"2001:db8:1:2:3::4"),), "2001:db8:1:2::/64"),
        (((b"X-Forwarded-For", b"[2001:db8:1:2:3::4]:4711"),), "2001:db8:1:2::/64"),
        # An entry that is no address leaves the proxy that wrote it.
        (((b"X-Forwarded-For", b"192.0.2.7, unknown, 10.8.8.8"),), "10.8.8.8"),
        (((b"X-Forwarded-For", b"192.0.2.7, "),), "10.1.2.3"),
        (((b"Forwarded", b"for=8.8.8.8, proto=http;For=192.0.2.7;by=x"),), "192.0.2.7"),
        (((b"Forwarded", b'for="[2001:db8::1]:4711", for=10.8.8.8'),), "2001:db8::/64"),
        (((b"Forwarded", b"for=192.0.2.7, proto=http"),), "10.1.2.3"),
        (((b"Forwarded", b"for=_hidden"),), "10.1.2.3"),
        (((b"Forwarded", b"for=8.8.8.8"), (b"X-Forwarded-For", b"192.0.2.7")), "192.0.2.7"),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(
    headers: tuple[Pair, ...], name: str
) -> None:
    assert client(*headers) == name


def test_a_client_that_no_proxy_stands_for_cannot_choose_its_name() -> None:
    headers = ((b"X-Forwarded-For", b"8.8.8.8"), (b"Forwarded", b"for=8.8.8.8"))

    assert client(*headers, address="192.0.2.1") == "192.0.2.1"
    assert not client(*headers, address="")


@given(entries=st.lists(st.binary(max_size=30).filter(lambda one: b"\n" not in one), max_size=6))
def test_no_header_of_a_client_changes_what_a_trusted_proxy_appends(entries: list[bytes]) -> None:
    spoofed = tuple((b"X-Forwarded-For", one) for one in entries)
    forwarded = tuple((b"Forwarded", one) for one in entries)

    assert client(*spoofed, *forwarded, (b"X-Forwarded-For", b"192.0.2.7")) == "192.0.2.7"
    assert client(*forwarded, (b"Forwarded", b"for=192.0.2.7")) == "192.0.2.7"


@given(address=st.ip_addresses(v=6), other=st.integers(0, 2**64 - 1))
def test_the_addresses_of_one_ipv6_site_are_one_client(address: IPv6Address, other: int) -> None:
    neighbour = IPv6Address((int(address) >> 64 << 64) + other)
    names = {client_name(str(one)) for one in (address, neighbour) if one.ipv4_mapped is None}

    assert len(names) <= 1
