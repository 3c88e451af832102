"""A14, A15, D13 through the whole traffic port; who a client may say that it is."""

from __future__ import annotations

import contextlib
from ipaddress import ip_network

import pytest

from .ours import local, proxied
from .wire import OK, Origin, Peer, get, running, talk

LOOPBACK = (ip_network("127.0.0.0/8"),)


async def test_a14_each_hop_is_named_in_order() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as inner,
        proxied(local(inner.port)) as outer,
    ):
        response = await talk(outer.port, get(b"/", b"Via: 1.0 before"))

    vias = origin.seen[0].values(b"via")
    assert response.status == 200
    assert vias[0] == b"1.0 before"
    assert [one.partition(b"-")[0] for one in vias[1:]] == [b"1.1 sealyard"] * 2
    assert vias[1] != vias[2]


async def test_a14_a_request_that_comes_back_is_refused() -> None:
    async with contextlib.AsyncExitStack() as stack:
        ports: list[int] = []

        async def returning(peer: Peer, origin: Origin) -> None:
            seen = await peer.request()
            origin.seen.append(seen)
            via = b"".join(b"Via: %b\r\n" % one for one in seen.values(b"via"))
            head = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + via + b"\r\n"
            peer.send((await talk(ports[0], head)).raw)

        origin = await stack.enter_async_context(running(Origin(returning)))
        ours = await stack.enter_async_context(proxied(local(origin.port)))
        ports.append(ours.port)
        response = await talk(ours.port, get())

    assert response.status == 508
    assert response.values(b"sealyard-error") == [b"loop-detected"]
    assert len(origin.seen) == 1


async def test_a15_a_client_cannot_say_who_it_is() -> None:
    spoofed = (
        b"X-Forwarded-For: 8.8.8.8",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: evil.test",
        b"X-Forwarded-Port: 1",
        b"X-Real-IP: 8.8.8.8",
        b"X-Forwarded-Client-Cert: Hash=0",
        b"Forwarded: for=8.8.8.8",
    )
    request = get(b"/", *spoofed).replace(
        b"Connection: close", b"Connection: close, X-Forwarded-For"
    )
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        await talk(ours.port, request)

    seen = origin.seen[0]
    assert b"8.8.8.8" not in seen.head
    assert seen.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert seen.values(b"x-forwarded-proto") == [b"http"]
    assert seen.values(b"x-forwarded-host") == [b"h"]
    assert seen.values(b"x-forwarded-port") == seen.values(b"forwarded") == []


OTHERS = (
    b"X-Forwarded-User: root",
    b"x-forwarded-groups: root",
    b"X-Forwarded-Protocol: root",
    b"X.Forwarded.For: root",
    b"X~Real-IP: root",
    b"X-Forwarded: root",
    b"X-Script-Name: /root",
    b"X.SCRIPT-NAME: /root",
)


@pytest.mark.parametrize("line", OTHERS)
@pytest.mark.parametrize("parsed", [False, True], ids=["fast", "parsed"])
async def test_a15_a_client_cannot_say_who_it_is_in_another_way(
    line: bytes, *, parsed: bool
) -> None:
    request = get(b"/", line, b"X-Other: kept")
    if parsed:
        request = request.replace(b"Host: h", b"Host:h")
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, request)

    assert response.status == 200
    assert b"root" not in origin.seen[0].head
    assert origin.seen[0].values(b"x-other") == [b"kept"]


async def test_a15_a_trusted_proxy_can() -> None:
    told = (
        b"X-Forwarded-For: 8.8.8.8",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-User: root",
        b"X-Script-Name: /root",
    )
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), trusted_proxies=LOOPBACK) as ours,
    ):
        await talk(ours.port, get(b"/", *told))

    seen = origin.seen[0]
    assert seen.values(b"x-forwarded-for") == [b"8.8.8.8, 127.0.0.1"]
    assert seen.values(b"x-forwarded-proto") == [b"https"]
    assert seen.values(b"x-forwarded-host") == [b"h"]
    assert seen.values(b"x-forwarded-user") == [b"root"]
    assert seen.values(b"x-script-name") == [b"/root"]


async def test_d13_a_redirect_to_the_backend_itself_leads_back_to_sealyard() -> None:
    async def redirecting(peer: Peer, origin: Origin) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:%d/next?a\r\n" % origin.port)
        peer.send(b"Content-Location: /here\r\nContent-Length: 0\r\n\r\n")

    async with running(Origin(redirecting)) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, get())

    assert response.values(b"location") == [b"http://h/next?a"]
    assert response.values(b"content-location") == [b"/here"]


async def test_d13_what_names_the_backend_leads_back_to_the_proxy_in_front_of_sealyard() -> None:
    async def pointing(peer: Peer, origin: Origin) -> None:
        await peer.request()
        peer.send(
            b"HTTP/1.1 200 OK\r\nLink: <http://127.0.0.1:%d/2>; rel=next\r\n"
            b'Link: <http://App.internal/1>; rel="prev"; title="http://app.internal"\r\n'
            b"Refresh: 5; url=https://app.internal:443/a\r\n"
            b"Content-Location: //app.internal:3000/b\r\nContent-Length: 0\r\n\r\n" % origin.port
        )

    names = frozenset({b"app.internal", b"app.internal:3000"})
    request = get(b"/", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: api.test")
    async with (
        running(Origin(pointing)) as origin,
        proxied(local(origin.port), trusted_proxies=LOOPBACK, upstream_names=names) as ours,
    ):
        response = await talk(ours.port, request)

    assert response.values(b"link") == [
        b"<https://api.test/2>; rel=next",
        b'<https://api.test/1>; rel="prev"; title="http://app.internal"',
    ]
    assert response.values(b"refresh") == [b"5; url=https://api.test/a"]
    assert response.values(b"content-location") == [b"https://api.test/b"]


METADATA = (
    b"Accept: a/b;q=0.5",
    b"Prefer: return=minimal",
    b"If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT",
)
ANSWERED = (
    b"Date: Sat, 29 Oct 1994 19:43:31 GMT",
    b"Age: 5",
    b"Last-Modified: Sat, 29 Oct 1994 19:43:31 GMT",
    b"Allow: GET",
    b"Link: </a>; rel=next",
    b"Preference-Applied: return=minimal",
)


async def test_d13_other_metadata_passes_as_it_is() -> None:
    reply = OK.replace(b"\r\n\r\n", b"\r\n" + b"\r\n".join(ANSWERED) + b"\r\n\r\n")
    async with running(Origin(reply=reply)) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, get(b"/", *METADATA))

    assert all(line in origin.seen[0].head for line in METADATA)
    assert all(line in response.head for line in ANSWERED)
