"""Two parsers that know nothing of each other, to read the bytes that an origin received."""

from __future__ import annotations

from typing import NamedTuple

import h11
import httptools

from proxy.telemetry.logs.access_line import METHODS, OTHER_METHOD


class Read(NamedTuple):
    """One request as a parser reads it."""

    method: bytes
    target: bytes
    body: bytes


class View(NamedTuple):
    """All that one parser found: whole requests, and the bytes of what came after them."""

    requests: list[Read]
    rest: bytes


class Disagreement(Exception):
    """The parsers differ, or one of them refuses: the bytes have more than one reading."""


def by_h11(data: bytes) -> View:
    """Read with h11, which is strict and written in Python.

    Raises h11.RemoteProtocolError.
    """
    requests: list[Read] = []
    while data:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        connection.receive_data(data)
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            break
        body = b""
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
        if not isinstance(event, h11.EndOfMessage):
            break
        requests.append(Read(request.method, request.target, body))
        data = connection.trailing_data[0]
    return View(requests, data)


class _Callbacks:
    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.found: list[Read] = []
        self.target = b""
        self.body = b""

    def on_message_begin(self) -> None:
        self.target, self.body = b"", b""

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.found.append(Read(self.parser.get_method(), self.target, self.body))


def by_httptools(data: bytes) -> list[Read]:
    """Read with llhttp, which is lax in places and written in C.

    Raises httptools.HttpParserError.
    """
    requests: list[Read] = []
    while data:
        callbacks = _Callbacks()
        try:
            callbacks.parser.feed_data(data)
            data = b""
        except httptools.HttpParserUpgrade as upgrade:
            # It stops behind a request for an upgrade; our origins grant none.
            data = data[upgrade.args[0] :]
        requests += callbacks.found
    return requests


def agreed(data: bytes) -> View:
    """Return what both read.

    Raises Disagreement.
    """
    try:
        view = by_h11(data)
        whole = data[: len(data) - len(view.rest)]
        others = by_httptools(whole)
    except (h11.RemoteProtocolError, httptools.HttpParserError) as error:
        raise Disagreement(f"{error!r} at {data!r}") from None
    if view.requests != others:
        raise Disagreement(f"{view.requests} and {others} at {data!r}")
    return view


def as_logged(method: bytes) -> str:
    """Return the method as a line tells it: only those of the standards stand there."""
    return method.decode() if method.decode() in METHODS else OTHER_METHOD
