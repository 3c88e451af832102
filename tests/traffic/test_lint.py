"""A linter of HTTP finds nothing in what Sealyard answers that the backend has not said itself."""

from __future__ import annotations

from email.utils import formatdate

import httplint
import pytest

from tests.keys.builders import a_world

from .exchange.test_exchange import JSON, a_rulebook
from .ours import local, proxied
from .wire import Origin, Peer, Response, get, post, running, talk

DATE = b"Date: " + formatdate(usegmt=True).encode()


def found(response: Response) -> set[str]:
    """Return the names of what is bad or doubtful in a response."""
    linter = httplint.HttpResponseLinter()
    version, status, phrase = response.head.partition(b"\r\n")[0].split(b" ", 2)
    linter.process_response_topline(version[5:], status, phrase)
    pairs = [line.split(b":", 1) for line in response.head.split(b"\r\n")[1:]]
    linter.process_headers([(name, value.strip()) for name, value in pairs])
    linter.feed_content(response.body)
    linter.finish_content(complete=True)
    doubtful = {httplint.levels.BAD, httplint.levels.WARN}
    return {type(note).__name__ for note in linter.notes if note.level in doubtful}


def saying(reply: bytes) -> Origin:
    """Return an origin that gives one reply to each request."""

    async def script(peer: Peer, origin: Origin) -> None:
        while True:
            origin.seen.append(await peer.request())
            peer.send(reply)

    return Origin(script)


JSON_HEAD = b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\nContent-Type: application/json\r\n"
REPLIES = {
    "plain": JSON_HEAD + b"Content-Length: 2\r\n\r\n{}",
    "cached": JSON_HEAD + b"Cache-Control: public, max-age=60\r\nContent-Length: 2\r\n\r\n{}",
    "tagged": JSON_HEAD + b'ETag: "x"\r\nVary: Accept\r\nContent-Length: 2\r\n\r\n{}',
    "null": JSON_HEAD + b'Content-Length: 16\r\n\r\n{"content":null}',
    "none": b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n\r\n",
    "unchanged": b"HTTP/1.1 304 Not Modified\r\n" + DATE + b'\r\nETag: "x"\r\n\r\n',
    "moved": b"HTTP/1.1 302 Found\r\n" + DATE + b"\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n",
    "failed": b"HTTP/1.1 500 Internal Server Error\r\n" + DATE + b"\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("target", [b"/free", b"/open"])
@pytest.mark.parametrize("name", REPLIES)
async def test_nothing_is_found_that_the_backend_has_not_said(name: str, target: bytes) -> None:
    async with (
        running(saying(REPLIES[name])) as origin,
        proxied(local(origin.port), rule_table=a_rulebook(), keys=a_world().sessions) as ours,
    ):
        response = await talk(ours.port, get(target))

    assert found(response) <= found(Response(REPLIES[name]))


OWN = {
    "malformed": get(b"/", b"X : y"),
    "refused by a rule": get(b"/closed"),
    "no method": get(b"/", method=b"TRACE"),
    "no json": post(b"{", JSON, target=b"/seal"),
    "no response": get(b"/dead"),
}


@pytest.mark.parametrize("name", OWN)
async def test_nothing_is_found_in_an_answer_of_its_own(name: str) -> None:
    async def dying(peer: Peer, origin: Origin) -> None:
        await peer.request()

    async with (
        running(Origin(dying)) as origin,
        proxied(local(origin.port), rule_table=a_rulebook()) as ours,
    ):
        response = await talk(ours.port, OWN[name])

    assert response.status >= 400
    # That a request was refused is worth a note to the linter, whoever refuses.
    assert {one for one in found(response) if not one.startswith("STATUS_")} == set()
