"""Whether a peer really does the work: what the backend gets is sealed, what comes back is not."""

from __future__ import annotations

import http.client
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from . import websocket
from .backend import FREEZE, LAST
from .running import Running, connection_to
from .works import LARGE_ROW_BYTES, LARGE_ROWS, ROWS, Work, a_message, works

_READABLE = 24
"""So many characters of a secret in a row, found at the backend, are a leak."""
_LARGE = "-large"
_NUMBER = 4711
Headers = tuple[tuple[str, str], ...]
JSON: Headers = (("Content-Type", "application/json"),)


class NotDone(Exception):
    """A peer does not do what it is measured at; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class _Server:
    """Asks a server one thing at a time, each on a connection of its own."""

    port: int
    tls: bool = False

    @classmethod
    def of(cls, running: Running) -> _Server:
        """Return a peer."""
        return cls(running.port, running.peer.tls)

    def ask(self, method: str, path: str, body: bytes = b"", headers: Headers = JSON) -> bytes:
        """Return the body of the answer; raise NotDone unless it is 200."""
        connection = connection_to(self.port, tls=self.tls, seconds=60)
        try:
            connection.request(method, path, body or None, dict(headers) if body else {})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        _must(answer.status == HTTPStatus.OK, f"status {answer.status}: {data[:200]!r}")
        return data

    def answered(self, work: Work) -> bytes:
        """Return what comes back of one request, or of one message of a WebSocket."""
        if work.shape == "websocket":
            return websocket.echo(self.port, work.path, work.body)
        return self.ask(work.method, work.path, work.body, work.headers)


def prepared(
    running: Running, backend: int, conversation: str, wanted: Collection[str] | None = None
) -> dict[str, Work]:
    """Return the wanted kinds of work, or all that the peer can do, once each was seen to be done.

    Its lists are then in place. Raises NotDone.
    """
    names = running.peer.works if wanted is None else wanted
    mine = {name: work for name, work in works(conversation).items() if name in names}
    rows: dict[int, list[dict[str, Any]]] = {}
    for work in mine.values():
        with _telling_what(running, work):
            if work.rows and work.rows not in rows:
                rows[work.rows] = _make_list(running, backend, conversation, work.rows)
            if work.secrets:
                _must_seal(running, backend, work)
            elif work.rows:
                _must_open(running, backend, work, rows[work.rows])
            else:
                _must_pass(running, backend, work)
    return mine


def must_seal(running: Running, backend: int, work: Work) -> None:
    """Raise NotDone unless the peer seals what is posted, each time anew, and opens the answer."""
    with _telling_what(running, work):
        _must_seal(running, backend, work)


@contextmanager
def _telling_what(running: Running, work: Work) -> Iterator[None]:
    try:
        yield
    except (NotDone, ValueError, KeyError, OSError, http.client.HTTPException) as error:
        raise NotDone(f"{running.peer.name} does not do “{work.title}”: {error!r}") from error


def _make_list(
    running: Running, backend: int, conversation: str, count: int
) -> list[dict[str, Any]]:
    """Post messages of a conversation through the peer, and have the backend list them."""
    large = count == LARGE_ROWS
    name, size = (conversation + _LARGE, LARGE_ROW_BYTES) if large else (conversation, 256)
    path = "/api/messages" if "seal" in running.peer.works else "/plain/messages"
    rows = []
    for number in range(ROWS):
        row = json.loads(a_message(size, conversation=name))
        row["content"] = f"{number} {row['content']}"
        rows.append(row)
        _Server.of(running).ask("POST", path, json.dumps(row).encode())
    _Server(backend).ask("POST", f"{FREEZE}/{count}", name.encode())
    return (rows * (count // ROWS + 1))[:count]


def _must_seal(running: Running, backend: int, work: Work) -> None:
    peer, origin, one = _Server.of(running), _Server(backend), work.at(_NUMBER)
    first, second = _sealed(peer, origin, one), _sealed(peer, origin, one)
    _must(first != second, "two messages are sealed alike")


def _must_pass(running: Running, backend: int, work: Work) -> None:
    peer, origin = _Server.of(running), _Server(backend)
    _must(peer.answered(work) == work.body, "another body came back")
    _must(origin.ask("GET", LAST) == work.body, "another body arrived")


def _must_open(running: Running, backend: int, work: Work, rows: list[dict[str, Any]]) -> None:
    raw, answer = _Server(backend).answered(work), _Server.of(running).answered(work)
    if work.shape == "passed":
        _must(answer == raw, "another list came back")
        return
    _must_not_hold(raw, rows[0]["content"])
    _must(_rows(work, answer) == rows, "it is not opened")


def _rows(work: Work, answer: bytes) -> list[dict[str, Any]]:
    if work.shape == "events":
        lines = [line for line in answer.splitlines() if line]
        _must(all(line.startswith(b"data:") for line in lines), "it is no event stream")
        return [json.loads(line[5:]) for line in lines]
    found: list[dict[str, Any]] = json.loads(answer)["data"]
    return found


def _sealed(peer: _Server, origin: _Server, work: Work) -> bytes:
    """Return what the backend got of a message that was sealed and came back opened."""
    answer = peer.answered(work)
    raw = origin.ask("GET", LAST)
    for secret in work.secrets:
        _must_not_hold(raw, secret)
    sent = json.loads(work.body)
    _must(json.loads(answer) == sent, "another message came back")
    if work.shape != "whole":
        otherwise = tuple(changed(sent, json.loads(raw)))
        _must(otherwise == work.secrets, "not just the secrets arrived otherwise")
    return raw


def changed(sent: object, arrived: object) -> Iterator[object]:
    """Yield the values that were sent and did not arrive as they were, in their order."""
    if isinstance(sent, dict) and isinstance(arrived, dict) and sent.keys() == arrived.keys():
        for key, value in sent.items():
            yield from changed(value, arrived[key])
    elif isinstance(sent, list) and isinstance(arrived, list) and len(sent) == len(arrived):
        for ours, theirs in zip(sent, arrived, strict=True):
            yield from changed(ours, theirs)
    elif sent != arrived:
        yield sent


def _must_not_hold(raw: bytes, secret: str) -> None:
    _must(secret[:_READABLE].encode() not in raw, "the backend can read the secret")


def _must(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - as in an assertion
    if not holds:
        raise NotDone(otherwise)
