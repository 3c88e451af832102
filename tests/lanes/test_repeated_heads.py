"""Heads that come again on a connection: every byte is as if each were the first of its kind."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.traffic.ours import PASSING, Ours, local, proxied
from tests.traffic.wire import Origin, connected, get, running

from .both_ways import a_way, departures, no_head_is_known, taken_at_once
from .test_same_bytes import a_rulebook

_LINES = (
    (),
    (b"Cookie: a=b; c=d",),
    (b"Accept-Encoding: gzip", b'If-None-Match: W/"x"'),
    (b"X-Forwarded-For: 1.2.3.4", b"Via: 1.1 a"),
    (b"Content-Encoding: identity",),
    (b"Digest: sha-256=AA==",),
)
_BODIES = (
    b'{"content": "c"}',
    b'{"content": "another"}',
    b'{"content": "' + b"long " * 200 + b'"}',
    b'{"content": ["a", 1]}',
    b'{"other": "c"}',
    b"[",
)
_STARTS = (
    b"POST /c/1 HTTP/1.1",
    b"POST /c/2 HTTP/1.1",
    b"PUT /c/1 HTTP/1.1",
    b"POST /elsewhere HTTP/1.1",
)


def _message(start: bytes, lines: tuple[bytes, ...], body: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    head = (start, b"Host: h", b"Content-Type: application/json", length, *lines)
    return b"\r\n".join([*head, b"", body])


def _conversations() -> Iterator[list[bytes]]:
    """Yield what one client after the other sends: a few kinds of heads, again and again."""
    every = list(itertools.product(_STARTS, _LINES))
    for client in range(60):
        kinds = [every[(7 * client + 5 * kind) % len(every)] for kind in range(3)]
        messages = []
        for turn in range(12):
            start, lines = kinds[turn * (client + turn) % 3]
            messages.append(_message(start, lines, _BODIES[(client + turn * turn) % len(_BODIES)]))
            if turn % 5 == client % 5:
                messages.append(b"GET /c/1?a=%d HTTP/1.1\r\nHost: h\r\n\r\n" % (turn % 2))
        yield messages


async def test_a_known_head_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    conversations = list(_conversations())
    async with a_way(a_rulebook()) as known, a_way(a_rulebook()) as anew:
        with departures(monkeypatch) as plain, taken_at_once(monkeypatch) as taken:
            for messages in conversations:
                remembered = await known.send_in_turn(messages, monkeypatch)
                with no_head_is_known(monkeypatch):
                    assert remembered == await anew.send_in_turn(messages, monkeypatch)
    entries = {id(head.entry) for head in plain}
    assert len(plain) > 2 * 300
    assert sum("sealed" in one.counts for one in taken) > 50
    assert sum("opened" in one.counts for one in taken) > 50
    assert len(entries) < len(plain) * 3 / 4  # half of them were read anew, on purpose


async def test_a_reload_decides_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    message = _message(_STARTS[0], (), _BODIES[0])
    async with a_way(PASSING) as way, a_way(a_rulebook()) as other:

        def reloaded_in_between() -> Iterator[bytes]:
            yield message
            yield message
            way.ours.listener.answerer = other.ours.listener.answerer
            yield message  # it opens a connection, for which it must wait
            yield message

        exchanged = await way.send_in_turn(reloaded_in_between(), monkeypatch)
        assert exchanged.forwarded.count(_BODIES[0]) == 2
        assert other.echo.got.count(b"POST /c/1") == 2
        assert other.echo.got.count(b'{"content": "eyJ0eXAiOiJzeTEi') == 2
        assert exchanged.answer.count(b"HTTP/1.1 200 ") == 4


@pytest.fixture
async def pointing() -> AsyncIterator[Ours]:
    """Return a Sealyard before an origin that points to itself, in the same words each time."""
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        place = b"http://127.0.0.1:%d/made" % origin.port
        origin.reply = (
            b"HTTP/1.1 201 Created\r\nLocation: %b\r\nContent-Length: 2\r\n\r\nok" % place
        )
        yield ours
        assert origin.connections == 1  # so the heads were known after the first


async def test_a_known_answer_points_each_client_to_where_it_called(pointing: Ours) -> None:
    for _ in range(2):
        for host in (b"one.example", b"other.example"):
            async with connected(pointing.port) as client:
                client.send(b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 0\r\n\r\n" % host)
                response = await client.response()

            assert response.values(b"location") == [b"http://%b/made" % host]


async def test_a_known_answer_tells_each_client_whether_its_connection_ends(
    pointing: Ours,
) -> None:
    for ends in (False, True, False, True):
        async with connected(pointing.port) as client:
            client.send(get(method=b"DELETE") if ends else b"DELETE / HTTP/1.1\r\nHost: h\r\n\r\n")
            response = await client.response()

        assert response.values(b"connection") == ([b"close"] if ends else [])


async def test_a_rule_that_was_shut_refuses_a_known_head(monkeypatch: pytest.MonkeyPatch) -> None:
    message = _message(_STARTS[0], (), _BODIES[0])
    async with a_way(a_rulebook()) as way:
        steps = way.ours.listener.answerer.steps  # type: ignore[attr-defined]  # the handler's

        def shut_in_between() -> Iterator[bytes]:
            yield message
            yield message
            monkeypatch.setattr(steps.keys, "shut", {(steps._name, "seal")}, raising=False)
            yield message

        exchanged = await way.send_in_turn(shut_in_between(), monkeypatch)
        assert exchanged.forwarded.count(b"POST /c/1") == 2
        assert exchanged.answer.count(b"HTTP/1.1 200 ") == 2
        assert exchanged.answer.count(b"HTTP/1.1 403 ") == 1
