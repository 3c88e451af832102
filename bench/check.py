"""Whether a peer really does the work: what the backend gets is sealed, what comes back is not."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from .backend import FREEZE, LAST
from .running import Running
from .works import ROWS, Work, a_message, works

_READABLE = 24
"""So many characters of a secret in a row, found at the backend, are a leak."""


class NotDone(Exception):
    """A peer does not do what it is measured at; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class _Server:
    """Asks a server one thing at a time, each on a connection of its own."""

    port: int

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return the body of the answer; raise NotDone unless it is 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        _must(answer.status == HTTPStatus.OK, f"status {answer.status}: {data[:200]!r}")
        return data


def prepared(running: Running, backend: int, conversation: str) -> dict[str, Work]:
    """Return the peer's kinds of work once each was seen to be done; its list is then in place.

    Raises NotDone.
    """
    mine = {name: work for name, work in works(conversation).items() if name in running.peer.works}
    peer, origin = _Server(running.port), _Server(backend)
    rows = _make_list(peer, origin, conversation, sealed="seal" in mine)
    for work in mine.values():
        if work.secret:
            must_seal(running, backend, work)
        else:
            with _telling_what(running, work):
                _check(peer, origin, work, rows)
    return mine


def must_seal(running: Running, backend: int, work: Work) -> None:
    """Raise NotDone unless the peer seals what is posted, each time anew, and opens the answer."""
    peer, origin = _Server(running.port), _Server(backend)
    with _telling_what(running, work):
        first, second = _sealed(peer, origin, work), _sealed(peer, origin, work)
        _must(first != second, "two messages are sealed alike")


@contextmanager
def _telling_what(running: Running, work: Work) -> Iterator[None]:
    try:
        yield
    except (NotDone, ValueError, KeyError) as error:
        raise NotDone(f"{running.peer.name} does not do “{work.title}”: {error}") from error


def _make_list(
    peer: _Server, origin: _Server, conversation: str, *, sealed: bool
) -> list[dict[str, Any]]:
    """Post messages of a conversation through the peer, and have the backend list them."""
    rows = []
    for number in range(ROWS):
        row = json.loads(a_message(256, conversation=conversation))
        row["content"] = f"{number} {row['content']}"
        rows.append(row)
        path = "/api/messages" if sealed else "/plain/messages"
        peer.ask("POST", path, json.dumps(row).encode())
    origin.ask("POST", FREEZE, conversation.encode())
    return rows


def _check(peer: _Server, origin: _Server, work: Work, rows: list[dict[str, Any]]) -> None:
    if work.name == "pass":
        _must(peer.ask("POST", work.path, work.body) == work.body, "another body came back")
        _must(origin.ask("GET", LAST) == work.body, "another body arrived")
    elif work.name == "list_pass":
        raw = origin.ask("GET", work.path)
        _must(len(json.loads(raw)["data"]) == len(rows), "the list is not whole")
        _must(peer.ask("GET", work.path) == raw, "another list came back")
    else:
        raw = origin.ask("GET", work.path)
        _must_not_hold(raw, rows[0]["content"])
        _must(json.loads(peer.ask("GET", work.path))["data"] == rows, "the list is not opened")


def _sealed(peer: _Server, origin: _Server, work: Work) -> bytes:
    """Return what the backend got of a message that was sealed and came back opened."""
    answer = peer.ask("POST", work.path, work.body)
    raw = origin.ask("GET", LAST)
    _must_not_hold(raw, work.secret)
    _must(json.loads(answer) == json.loads(work.body), "another message came back")
    if work.field:
        arrived, sent = json.loads(raw), json.loads(work.body)
        _must(arrived.pop(work.field) != sent.pop(work.field), "the field arrived in the clear")
        _must(arrived == sent, "another message arrived")
    return raw


def _must_not_hold(raw: bytes, secret: str) -> None:
    _must(secret[:_READABLE].encode() not in raw, "the backend can read the secret")


def _must(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - as in an assertion
    if not holds:
        raise NotDone(otherwise)
