"""The PROXY protocol: laws of its parser, and real HAProxy and nginx in front of Sealyard."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import struct
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.limits import TrafficLimits
from proxy.traffic.downstream.proxy_protocol import MalformedHeader, ProxyHeader
from proxy.traffic.policy import PROXY_HEADER_BYTES
from tests.servers import await_port, child, free_port

from ..ours import HASTY, Ours, local, proxied
from ..wire import Client, Origin, Response, connected, eventually, get, running

LOOPBACK = (ip_network("127.0.0.0/8"),)
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
TLV = struct.pack("!BH", 0xE0, 3) + b"abc"


def v1(source: str, destination: str = "192.0.2.1") -> bytes:
    """Return a line of version 1."""
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} 4711 80\r\n".encode()


def v2(family: int, rest: bytes, *, command: int = 0x21) -> bytes:
    """Return a header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def tcp4(source: IPv4Address) -> bytes:
    """Return the addresses of version 2 for IPv4."""
    return source.packed + IPv4Address("192.0.2.1").packed + struct.pack("!HH", 4711, 80)


def tcp6(source: IPv6Address) -> bytes:
    """Return the addresses of version 2 for IPv6."""
    return source.packed + IPv6Address("2001:db8::1").packed + struct.pack("!HH", 4711, 80)


def outcome(pieces: list[bytes]) -> tuple[str, int] | None:
    """Return source and length of the header at the beginning of some pieces; None: malformed.

    As from a socket that is looked at: what is not taken comes again, with what has come since.
    """
    header, taken, waiting = ProxyHeader(), 0, b""
    for piece in pieces:
        waiting += piece
        if not waiting or header.complete:
            continue
        try:
            size = header.feed(waiting)
        except MalformedHeader:
            return None
        taken, waiting = taken + size, waiting[size:]
    return (header.source, taken) if header.complete else ("", -1)


COMPLETE = [
    (b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n", "198.51.100.7"),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"),
    (b"PROXY TCP4 10.0.0.0 10.0.0.0 0 0\r\n", "10.0.0.0"),
    (b"PROXY TCP6 2001:db8::7 2001:DB8::1 4711 443\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", ""),
    (v2(0x11, tcp4(IPv4Address("198.51.100.7"))), "198.51.100.7"),
    (v2(0x11, tcp4(IPv4Address("198.51.100.7")) + TLV + TLV), "198.51.100.7"),
    (v2(0x21, tcp6(IPv6Address("2001:db8::7"))), "2001:db8::7"),
    (v2(0x31, b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")), ""),
    (v2(0x00, b"", command=0x20), ""),
    # What LOCAL and an unknown family carry is to be ignored.
    (v2(0x11, tcp4(IPv4Address("198.51.100.7")), command=0x20), ""),
    (v2(0xFF, b"anything", command=0x20), ""),
    (v2(0x00, b"anything"), ""),
]


@pytest.mark.parametrize(("header", "source"), COMPLETE)
@pytest.mark.parametrize("behind", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n"])
def test_a_header_ends_where_its_bytes_end_in_whatever_pieces_it_comes(
    header: bytes, source: str, behind: bytes
) -> None:
    whole, slow = ProxyHeader(), ProxyHeader()

    assert whole.feed(header + behind) == len(header)
    assert (whole.complete, whole.source) == (True, source)
    for at in range(len(header)):
        assert not slow.complete
        assert slow.feed(header[at : at + 1]) == 1
    assert (slow.complete, slow.source) == (True, source)


MALFORMED = [
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"proxy TCP4 198.51.100.7 192.0.2.1 4711 80\r\n",
    b"PROXY  TCP4 198.51.100.7 192.0.2.1 4711 80\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 80 \r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 4711\r\n",
    b"PROXY TCP4 198.51.100.7  192.0.2.1 4711 80\r\n",
    b"PROXY TCP4 198.51.100.7\t192.0.2.1 4711 80\r\n",
    b"PROXY TCP4 198.51.100.07 192.0.2.1 4711 80\r\n",
    b"PROXY TCP4 198.51.100.256 192.0.2.1 4711 80\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 65536\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 04711 80\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 +4711 80\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 80\r\n",
    b"PROXY TCP6 198.51.100.7 192.0.2.1 4711 80\r\n",
    b"PROXY TCP6 fe80::1%eth0 fe80::2 4711 80\r\n",
    b"PROXY TCP6 \xb2001:db8::7 2001:db8::1 4711 80\r\n",
    b"PROXY UDP4 198.51.100.7 192.0.2.1 4711 80\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY UNKNOWN a\rb\r\n",
    b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
    b"PROXY TCP4 " + b"1" * 107,
    SIGNATURE.replace(b"QUIT", b"QUIX") + b"\x21\x11\x00\x0c" + b"\0" * 12,
    v2(0x11, tcp4(IPv4Address("198.51.100.7")), command=0x11),
    v2(0x11, tcp4(IPv4Address("198.51.100.7")), command=0x22),
    v2(0x12, tcp4(IPv4Address("198.51.100.7"))),
    v2(0x10, tcp4(IPv4Address("198.51.100.7"))),
    v2(0x41, tcp4(IPv4Address("198.51.100.7"))),
    v2(0x11, tcp4(IPv4Address("198.51.100.7"))[:-1]),
    v2(0x21, tcp4(IPv4Address("198.51.100.7"))),
    v2(0x31, b"/run/a"),
    v2(0x11, tcp4(IPv4Address("198.51.100.7")) + TLV[:-1]),
    v2(0x11, tcp4(IPv4Address("198.51.100.7")) + TLV + b"\xe0"),
    v2(0x11, tcp4(IPv4Address("198.51.100.7")) + bytes(PROXY_HEADER_BYTES)),
]


@pytest.mark.parametrize("header", MALFORMED)
def test_what_is_no_header_is_refused_in_whatever_pieces_it_comes(header: bytes) -> None:
    assert outcome([header]) is None
    assert outcome([bytes([one]) for one in header]) is None


HEADERS = st.one_of(
    st.builds(v1, st.ip_addresses(v=4).map(str)),
    st.builds(lambda one: v1(str(one), "2001:db8::1"), st.ip_addresses(v=6)),
    st.builds(
        lambda one, more: v2(0x11, tcp4(one) + more * TLV), st.ip_addresses(v=4), st.integers(0, 9)
    ),
    st.builds(
        lambda one, more: v2(0x21, tcp6(one) + more * TLV), st.ip_addresses(v=6), st.integers(0, 9)
    ),
)


@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=200).map(lambda one: SIGNATURE + one),
        st.binary(max_size=120).map(lambda one: b"PROXY " + one),
        st.tuples(HEADERS, st.binary(max_size=40)).map(b"".join),
    ),
    change=st.none() | st.tuples(st.integers(0, 60), st.integers(0, 255)),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
def test_pieces_change_nothing_and_no_byte_makes_it_fail_otherwise(
    data: bytes, change: tuple[int, int] | None, cuts: list[int]
) -> None:
    if change is not None and change[0] < len(data):
        at, value = change
        data = data[:at] + bytes([value]) + data[at + 1 :]
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    pieces = [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]

    assert outcome(pieces) == outcome([data])


@given(header=HEADERS, behind=st.binary(max_size=50))
def test_a_well_formed_header_names_its_source(header: bytes, behind: bytes) -> None:
    found = outcome([header + behind])

    assert found is not None
    assert found[1] == len(header)
    assert found[0]


# --- through the traffic port -------------------------------------------------------------------


async def told(ours: Ours, origin: Origin, *pieces: bytes) -> list[bytes]:
    """Send a request behind a header, a piece at a time; return the X-Forwarded-For of it."""
    async with connected(ours.port) as client:
        for piece in pieces:
            client.send(piece)
            await asyncio.sleep(0.01)
        client.send(get())
        response = Response(await client.rest())
    assert response.status == 200
    return origin.seen[-1].values(b"x-forwarded-for")


async def test_the_client_of_the_header_is_the_one_the_backend_sees() -> None:
    header = v1("198.51.100.7")
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), trusted_proxies=LOOPBACK, proxy_protocol=True) as ours,
    ):
        assert await told(ours, origin, header) == [b"198.51.100.7"]
        assert await told(ours, origin, *(bytes([one]) for one in header)) == [b"198.51.100.7"]
        six = v2(0x21, tcp6(IPv6Address("2001:db8::7")) + TLV)
        assert await told(ours, origin, six[:5], six[5:20], six[20:]) == [b"2001:db8::7"]
        # A check of the proxy itself, and a client that it does not name, are given no address.
        assert await told(ours, origin, v2(0, b"", command=0x20)) == []
        assert await told(ours, origin, b"PROXY UNKNOWN\r\n") == []


async def test_a_client_behind_the_proxy_cannot_say_who_it_is() -> None:
    spoofed = get(b"/", b"X-Forwarded-For: 8.8.8.8", b"Forwarded: for=8.8.8.8")
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), trusted_proxies=LOOPBACK, proxy_protocol=True) as ours,
    ):
        for header in (v1("198.51.100.7"), b"PROXY UNKNOWN\r\n", v2(0, b"", command=0x20)):
            async with connected(ours.port) as client:
                client.send(header + spoofed)
                await client.rest()

    assert all(b"8.8.8.8" not in seen.head for seen in origin.seen)
    assert len(origin.seen) == 3


async def test_a_connection_without_a_header_is_closed_and_counted() -> None:
    async with (
        running(Origin()) as origin,
        proxied(
            local(origin.port), trusted_proxies=LOOPBACK, proxy_protocol=True, timeouts=HASTY
        ) as ours,
    ):
        for sent in (get(), b"PROXY TCP4 198.51.100.7 ", b"", MALFORMED[-1]):
            async with connected(ours.port) as client:
                client.send(sent)
                assert await client.rest() == b""
        counts = ours.listener.refusals.counts
        refused = ours.ear.all("clients.refused")

    assert counts == {"proxy-header": 4}
    assert refused == [{"listener": "ours", "reason": "proxy-header", "number": 1}]
    assert origin.seen == []


async def test_a_header_of_a_peer_that_is_no_trusted_proxy_is_not_read() -> None:
    elsewhere = (ip_network("192.0.2.0/24"),)
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), trusted_proxies=elsewhere, proxy_protocol=True) as ours,
        connected(ours.port) as client,
    ):
        client.send(v1("198.51.100.7") + get())
        assert await client.rest() == b""
        assert ours.listener.refusals.counts == {"proxy-peer": 1}
    assert origin.seen == []


async def test_the_limit_of_an_address_counts_the_clients_of_the_headers() -> None:
    limits = TrafficLimits(clients_per_address=1)
    async with (
        running(Origin()) as origin,
        proxied(
            local(origin.port), trusted_proxies=LOOPBACK, proxy_protocol=True, limits=limits
        ) as ours,
        connected(ours.port) as first,
        connected(ours.port) as same,
        connected(ours.port) as other,
    ):
        kept = get().replace(b"Connection: close\r\n", b"")
        first.send(v1("198.51.100.7") + kept)
        assert (await first.response()).status == 200
        same.send(v1("198.51.100.7") + kept)
        assert (await same.response()).status == 503
        other.send(v1("198.51.100.8") + kept)
        assert (await other.response()).status == 200


async def test_the_header_comes_before_tls(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with (
        running(Origin()) as origin,
        proxied(
            local(origin.port), trusted_proxies=LOOPBACK, proxy_protocol=True, tls=server_tls
        ) as ours,
    ):
        raw = socket.create_connection(("127.0.0.1", ours.port))
        raw.sendall(v1("198.51.100.7"))
        raw.setblocking(False)  # noqa: FBT003 - the signature of the standard library
        reader, writer = await asyncio.open_connection(
            sock=raw, ssl=client_tls, server_hostname="localhost"
        )
        client = Client(reader, writer)
        client.send(get())
        response = Response(await client.rest())
        client.close()

    assert response.status == 200
    assert origin.seen[0].values(b"x-forwarded-for") == [b"198.51.100.7"]
    assert origin.seen[0].values(b"x-forwarded-proto") == [b"https"]


# --- real proxies ---------------------------------------------------------------------------------

HAPROXY = """
global
    maxconn 100
defaults
    mode {mode}
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend front
    bind 127.0.0.1:{port}
    default_backend ours
backend ours
    server ours 127.0.0.1:{to} {send} source 127.0.0.1
"""
STREAMS = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
NGINX = """
load_module {module};
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
stream {{
    server {{
        listen 127.0.0.1:{port};
        proxy_pass 127.0.0.1:{to};
        proxy_protocol on;
    }}
}}
"""


async def through(command: list[str], port: int, log: Path, ours: Ours) -> Response:
    """Send a request from 127.0.0.77 through a proxy in front of ours."""
    with child(command, log) as process:
        await asyncio.to_thread(await_port, process, port, log)
        await eventually(lambda: ours.listener.connections == 0)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, local_addr=("127.0.0.77", 0)
        )
        client = Client(reader, writer)
        client.send(get(b"/", b"X-Forwarded-For: 8.8.8.8"))
        response = Response(await client.rest())
        client.close()
    return response


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs the Debian package haproxy")
@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2", "send-proxy-v2 check"])
async def test_haproxy_in_front(tmp_path: Path, send: str) -> None:
    port, trusted = free_port(), (ip_network("127.0.0.1/32"),)
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), trusted_proxies=trusted, proxy_protocol=True) as ours,
    ):
        file = tmp_path / "haproxy.cfg"
        file.write_text(HAPROXY.format(mode="tcp", port=port, to=ours.port, send=send))
        command = ["haproxy", "-db", "-f", str(file)]
        response = await through(command, port, tmp_path / "log", ours)

    assert response.status == 200
    assert origin.seen[0].values(b"x-forwarded-for") == [b"127.0.0.77"]


@pytest.mark.skipif(not STREAMS.exists(), reason="needs the Debian package libnginx-mod-stream")
async def test_nginx_in_front(tmp_path: Path) -> None:
    port, trusted = free_port(), (ip_network("127.0.0.1/32"),)
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), trusted_proxies=trusted, proxy_protocol=True) as ours,
    ):
        file = tmp_path / "nginx.conf"
        file.write_text(NGINX.format(module=STREAMS, folder=tmp_path, port=port, to=ours.port))
        command = ["nginx", "-c", str(file), "-p", str(tmp_path)]
        response = await through(command, port, tmp_path / "log", ours)

    assert response.status == 200
    assert origin.seen[0].values(b"x-forwarded-for") == [b"127.0.0.77"]
