"""The exchanges that faults are put into: what is asked, and how the origin answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from proxy.demo.screen import search
from proxy.keys.policy import PIECE
from tests.traffic.wire import Client, Peer, Seen, get

from .rig import (
    BODY,
    CANARY,
    JSON,
    Say,
    Script,
    Setup,
    WaitingCallers,
    WaitingKeys,
    WaitingOpens,
    frame_for,
    tokens_for,
    turn,
)

Scene = Callable[[], Awaitable[Setup]]

_CHUNKED = b"Transfer-Encoding: chunked"
_FRAME = b"Content-Type: application/vnd.sealyard.stream"
_RECORDS = b"Content-Type: application/x-ndjson"
_PAUSE = 8
_LATE = 30


async def _in_pieces(
    send: Callable[[bytes], None], data: bytes, drain: Callable[[], object]
) -> None:
    """Send a message so that its head and each half of its body come alone."""
    head, end, body = data.partition(b"\r\n\r\n")
    half = len(body) // 2
    for piece in (head + end, body[:half], body[half:]):
        if piece:
            send(piece)
        for _ in range(_PAUSE):
            await turn()
        drain()


def _say(data: bytes) -> Say:
    async def say(client: Client) -> None:
        await _in_pieces(client.send, data, lambda: None)

    return say


def _chunked(body: bytes) -> bytes:
    half = len(body) // 2
    pieces = (body[:half], body[half:])
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


def _answer(body: bytes | None, *, chunked: bool = False, kind: bytes = JSON) -> Script:
    """Answer with `body`, or with what was sent."""

    async def script(peer: Peer) -> None:
        seen: Seen = await peer.request()
        await _reply(peer, seen.body if body is None else body, chunked=chunked, kind=kind)

    return script


async def _reply(peer: Peer, body: bytes, *, chunked: bool = False, kind: bytes = JSON) -> None:
    framing = _CHUNKED if chunked else b"Content-Length: %d" % len(body)
    head = b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n" + framing + b"\r\n\r\n"
    await _in_pieces(peer.send, head + (_chunked(body) if chunked else body), lambda: None)


def _upload(target: bytes, body: bytes = BODY, kind: bytes = JSON) -> Say:
    return _say(get(target, kind, _CHUNKED, method=b"POST") + _chunked(body))


async def _token(keys: WaitingKeys, kind: bytes = JSON) -> Script:
    (token,) = await tokens_for(keys, 1)
    return _answer(json.dumps({"content": token}).encode(), kind=kind)


async def sealing() -> Setup:
    """A request is sealed, and its echo opened."""
    return Setup(_answer(None), _upload(b"/seal"))


async def sealing_a_long_list() -> Setup:
    """As before, with more values than go a way at once: both go theirs in slices."""
    body = json.dumps({"items": [{"content": CANARY}] * 600}).encode()
    return Setup(_answer(None), _upload(b"/list", body))


async def sealing_among_others() -> Setup:
    """As before, while another request obtains the same session, and with more scopes than one."""
    return Setup(_answer(None), _upload(b"/seal"), WaitingKeys(busy=True, scopes=3))


async def sealing_behind_another() -> Setup:
    """As before, with one scope: its lock is waited for without a task in between."""
    return Setup(_answer(None), _upload(b"/seal"), WaitingKeys(busy=True))


async def sealing_under_a_lease() -> Setup:
    """As before, once the lease of this process has been obtained again."""
    return Setup(_answer(None), _upload(b"/seal"), WaitingKeys(leased=True))


async def sealing_while_its_lease_ends() -> Setup:
    """As before, and the lease ends once more before the answer may say that it was taken."""
    keys, answer = WaitingKeys(leased=True), _answer(None)

    async def script(peer: Peer) -> None:
        keys.sessions.sealing_until = 0.0
        await answer(peer)

    return Setup(script, _upload(b"/seal"), keys)


async def observing() -> Setup:
    """A request passes as it is, and what a rule would do is tried behind its answer."""
    keys = WaitingKeys()
    return Setup(await _token(keys), _upload(b"/tried"), keys)


async def opening() -> Setup:
    """A response is opened."""
    keys = WaitingKeys()
    return Setup(await _token(keys), _say(get(b"/open")), keys)


async def opening_for_a_caller() -> Setup:
    """A caller is verified, and what it opens is written down, in the request and the answer."""
    keys = WaitingKeys()
    (token,) = await tokens_for(keys, 1)
    body = json.dumps({"content": token}).encode()
    return Setup(
        _answer(body), _upload(b"/take", body), keys, callers=WaitingCallers(), opens=WaitingOpens()
    )


async def asking_the_backend() -> Setup:
    """The backend tells the conversation of a request before that is sealed."""

    async def script(peer: Peer) -> None:
        seen = await peer.request()
        told = b'{"room": "c"}' if seen.head.startswith(b"GET ") else seen.body
        await _reply(peer, told)

    return Setup(script, _upload(b"/asked/7"))


async def opening_what_is_misnamed() -> Setup:
    """A response is opened that is JSON by its text alone, not by its type."""
    keys = WaitingKeys()
    script = await _token(keys, b"Content-Type: text/plain")
    return Setup(script, _say(get(b"/open")), keys)


async def opening_over_a_shared_store() -> Setup:
    """A response is opened once the store has said how its conversation stands."""
    keys = WaitingKeys(busy=True, shared=True)
    return Setup(await _token(keys), _say(get(b"/open")), keys)


async def opening_once_asked() -> Setup:
    """A response is opened after the store was asked how its conversation stands."""
    keys = WaitingKeys(busy=True, shared=True, asks=True)
    return Setup(await _token(keys), _say(get(b"/open")), keys)


async def opening_among_many() -> Setup:
    """A response is opened that names more sessions than are looked up in one go."""
    keys = WaitingKeys(made_up=PIECE + 1)
    return Setup(await _token(keys), _say(get(b"/open")), keys)


async def listing() -> Setup:
    """A list is opened, item by item."""
    keys = WaitingKeys()
    items = [{"content": one} for one in await tokens_for(keys, 3)]
    reply = json.dumps({"items": items}).encode()
    return Setup(_answer(reply, chunked=True), _say(get(b"/list")), keys)


async def sealing_a_frame() -> Setup:
    """A body of unknown length becomes a frame while it passes."""
    body = CANARY.encode() + bytes(20_000)
    return Setup(_answer(b"{}"), _upload(b"/store", body))


async def sealing_a_frame_while_its_lease_ends() -> Setup:
    """As before, and the lease has ended whenever a piece comes, and the end."""
    keys, body = WaitingKeys(leased=True), CANARY.encode() + bytes(20_000)

    async def say(client: Client) -> None:
        client.send(get(b"/store", JSON, _CHUNKED, method=b"POST"))
        for piece in (b"%x\r\n%b\r\n" % (len(body), body),) * 2 + (b"0\r\n\r\n",):
            for _ in range(_LATE):
                await turn()
            keys.sessions.sealing_until = 0.0
            client.send(piece)

    return Setup(_answer(b"{}"), say, keys)


async def sealing_a_form() -> Setup:
    """A form of unknown length is sealed part by part."""
    disposition = b"Content-Disposition: form-data; name="
    note = b'%b"note"\r\n\r\n%b' % (disposition, CANARY.encode())
    file = b'%b"file"; filename="f"\r\n\r\n%b' % (disposition, bytes(80_000) + CANARY.encode())
    body = b"--of-parts\r\n%b\r\n--of-parts\r\n%b\r\n--of-parts--\r\n" % (note, file)
    kind = b"Content-Type: multipart/form-data; boundary=of-parts"
    say = _upload(b"/form", body, kind)
    return Setup(_answer(b"{}"), say)


async def opening_a_frame() -> Setup:
    """A frame is opened for the origin while it passes."""
    keys = WaitingKeys()
    say = _upload(b"/receive", await frame_for(keys), _FRAME)
    return Setup(_answer(b"{}"), say, keys)


async def fetching_a_frame() -> Setup:
    """A frame is opened for the client while it passes."""
    keys = WaitingKeys()
    whole = await frame_for(keys)

    async def late(peer: Peer) -> None:
        await peer.request()
        head = b"HTTP/1.1 200 OK\r\n" + _FRAME + b"\r\n" + _CHUNKED + b"\r\n\r\n"
        data = head + _chunked(whole)
        await _in_pieces(peer.send, data[:-20], lambda: None)
        for _ in range(_LATE):
            await turn()
        peer.send(data[-20:])

    return Setup(late, _say(get(b"/store")), keys)


async def sealing_records() -> Setup:
    """Records are sealed one by one."""
    say = _upload(b"/seal", BODY + b"\n" + BODY + b"\n", _RECORDS)
    return Setup(_answer(b'{"content":null}'), say)


async def opening_records() -> Setup:
    """Records are opened one by one."""
    keys = WaitingKeys()
    lines = [json.dumps({"content": one}).encode() for one in await tokens_for(keys, 2)]
    script = _answer(b"\n".join(lines), chunked=True, kind=_RECORDS)
    return Setup(script, _say(get(b"/open")), keys)


async def passing() -> Setup:
    """Bodies pass as they come, in both directions."""
    script = _answer(BODY, chunked=True)
    return Setup(script, _upload(b"/pass"))


async def streaming_events() -> Setup:
    """Events pass as they come."""

    async def events(peer: Peer) -> None:
        await peer.request()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + _CHUNKED + b"\r\n\r\n"
        await _in_pieces(peer.send, head + _chunked(b"data: one\n\ndata: two\n\n"), lambda: None)

    return Setup(events, _say(get(b"/pass")))


async def _event_in_pieces(peer: Peer, event: bytes) -> None:
    half = len(event) // 2
    for piece in (event[:half], event[half:]):
        peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        for _ in range(_PAUSE):
            await turn()


def _events(*contents: str) -> Script:
    """Answer with an event for each content, each of which comes in two pieces."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + _CHUNKED + b"\r\n\r\n"
        )
        for content in contents:
            event = f"id: 1\ndata: {json.dumps({'content': content})}\n\n".encode()
            await _event_in_pieces(peer, event)
        peer.send(b"0\r\n\r\n")

    return script


async def sealing_events() -> Setup:
    """Each event of a response is sealed as it comes, and a part of one is left in the end."""
    script, say = _events(CANARY, CANARY), _say(get(b"/events"))
    return Setup(script, say)


async def opening_events() -> Setup:
    """Each event of a response is opened as it comes."""
    keys = WaitingKeys()
    script = _events(*await tokens_for(keys, 2))
    return Setup(script, _say(get(b"/opened")), keys)


async def sealing_lines() -> Setup:
    """Each line of a request is sealed as it comes; the last has no end."""
    body = b"\n".join((BODY, BODY, BODY))
    request = get(b"/lines", b"Content-Type: application/x-ndjson", _CHUNKED, method=b"POST")
    say = _say(request + _chunked(body))
    return Setup(_answer(b"{}"), say)


async def over_a_socket() -> Setup:
    """A request goes to an upstream at a Unix socket, on a new connection each time."""

    async def once(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    return Setup(once, _say(get(b"/pass")), over_socket=True)


def dying() -> Script:
    """Answer once on each connection, which then dies under the next request."""
    # The writers, not their ids: the id of one that is gone may be that of a new one.
    answered: set[asyncio.StreamWriter] = set()

    async def once(peer: Peer) -> None:
        await peer.request()
        if peer.writer in answered:
            answered.clear()
            raise ConnectionResetError
        answered.add(peer.writer)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return once


async def asking_again() -> Setup:
    """A resting connection dies under a GET, which goes out again on a new one."""
    return Setup(dying(), _say(get(b"/pass")))


async def handing_on() -> Setup:
    """A plain request goes out without a wait; what comes back is relayed with waits."""
    script = _answer(BODY, chunked=True)
    return Setup(script, _say(get(b"/pass")))


async def refusing() -> Setup:
    """A request is refused by its rule."""
    return Setup(_answer(BODY), _say(get(b"/closed")))


async def tunnelling() -> Setup:
    """A WebSocket is let through."""

    async def echo(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n")
        peer.send(b"Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")
        peer.send(await peer.reader.readexactly(len(CANARY.encode())))
        raise ConnectionResetError

    async def say(client: Client) -> None:
        client.send(b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        client.send(
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % (b"A" * 22 + b"==")
        )
        client.send(CANARY.encode())

    return Setup(echo, say)


async def overhearing() -> Setup:
    """A WebSocket is let through, and what a rule would do to its messages is tried beside it."""
    sent = b"\x81" + bytes((0x80 | len(BODY),)) + bytes(4) + BODY

    async def echo(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n")
        peer.send(b"Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")
        await peer.reader.readexactly(len(sent))
        peer.send(b"\x81" + bytes((len(BODY),)) + BODY)
        raise ConnectionResetError

    async def say(client: Client) -> None:
        client.send(b"GET /overheard HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n")
        client.send(b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n")
        client.send(b"Sec-WebSocket-Key: %b\r\n\r\n" % (b"A" * 22 + b"=="))
        client.send(sent)

    return Setup(echo, say)


async def relaying() -> Setup:
    """A message of a WebSocket is sealed, its echo opened."""
    length = 0x7E
    got: list[bytes] = []

    async def echo(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n")
        accept = b"ICX+Yqv66kxgM0FcWaLWlFLwTAI="
        peer.send(b"Connection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n" % accept)
        first, second, *size = await peer.reader.readexactly(4)
        assert (first, second) == (0x81, 0x80 | length)
        mask = await peer.reader.readexactly(4)
        masked = await peer.reader.readexactly(int.from_bytes(size, "big"))
        plain = bytes(one ^ mask[at % 4] for at, one in enumerate(masked))
        got.append(plain)
        peer.send(bytes((0x81, length, *size)) + plain + b"\x88\x02\x03\xe8")
        await peer.reader.read()

    async def say(client: Client) -> None:
        client.send(b"GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n")
        client.send(b"Connection: Upgrade\r\n")
        key = b"A" * 22 + b"=="
        client.send(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % key)
        client.send(b"\x81" + bytes((0x80 | len(BODY),)) + bytes(4) + BODY)
        client.send(b"\x88\x82" + bytes(4) + b"\x03\xe8")

    def sealed() -> bool:
        # What goes to an origin is masked, so that a search of its bytes would find nothing.
        return bool(got) and not search(CANARY, {"origin": b"".join(got)})

    return Setup(echo, say, holds=sealed)


SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (
        sealing,
        sealing_a_long_list,
        sealing_among_others,
        sealing_behind_another,
        sealing_under_a_lease,
        sealing_while_its_lease_ends,
        observing,
        opening,
        opening_for_a_caller,
        asking_the_backend,
        opening_what_is_misnamed,
        opening_over_a_shared_store,
        opening_once_asked,
        opening_among_many,
        listing,
        sealing_a_frame,
        sealing_a_frame_while_its_lease_ends,
        sealing_a_form,
        opening_a_frame,
        fetching_a_frame,
        sealing_records,
        opening_records,
        passing,
        streaming_events,
        sealing_events,
        opening_events,
        sealing_lines,
        over_a_socket,
        asking_again,
        handing_on,
        refusing,
        tunnelling,
        overhearing,
        relaying,
    )
}
SECRET_FROM_ORIGIN = {
    "sealing",
    "sealing_among_others",
    "sealing_behind_another",
    "sealing_under_a_lease",
    "sealing_while_its_lease_ends",
    "opening",
    "asking_the_backend",
    "opening_what_is_misnamed",
    "opening_over_a_shared_store",
    "opening_once_asked",
    "opening_among_many",
    "listing",
    "sealing_a_frame",
    "sealing_a_frame_while_its_lease_ends",
    "sealing_a_form",
    "fetching_a_frame",
    "sealing_records",
    "opening_records",
    "opening_events",
    "sealing_lines",
}
"""Where the canary must not stand in anything that the origin gets."""
