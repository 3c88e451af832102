"""The clients of a soak: every kind of traffic, and a comparison of every answer.

A message is acknowledged when its answer was 200 and held the same text again. From then on it must
open at every sidecar of its pair, unless the journal knows why its session has ended.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from typing import Final
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType

from tools.chaos.sealyard import Mode

from .backend import EARLY
from .journal import LISTED, Journal, Kind, Message, binary, text
from .sidecars import Sidecar

PATIENCE: Final = aiohttp.ClientTimeout(total=15)
_OK: Final = 200
_NOT_FOUND: Final = 404
_LIST: Final = 20
_EVENTS: Final = 10
_ROOMS: Final = 20
_MORE_ROOMS: Final = 100
"""Rooms that are seldom used; all have been after some minutes, so that caches stay as full."""
_REVOCABLE: Final = 10
_BOUNDARY: Final = "between-parts"
_MULTIPART: Final = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
_BYTES: Final = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be sent; `content` is the text that the answer must hold, if it holds any."""

    kind: Kind
    number: int
    size: int
    body: bytes
    content: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The head and the whole body of an answer."""

    status: int
    body: bytes
    code: str


class _Closed(Exception):
    """A WebSocket was closed where an answer was due; `code` says why."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Asker:
    """Sends requests of one client, and accounts for every end that they may have."""

    def __init__(self, journal: Journal, session: aiohttp.ClientSession) -> None:
        self.journal = journal
        self.session = session
        self.told = ""
        """What came of the last request: its status and code, or the error that cut it."""

    async def ask(  # noqa: PLR0913 - a request, and the room that it concerns
        self,
        sidecar: Sidecar,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        room: str = "",
    ) -> Answer | None:
        """Return the answer if it is of use; None where it was refused or cut, once counted."""
        began = time.monotonic()
        try:
            async with self.session.request(
                method, sidecar.url + path, data=body, headers=headers or {}
            ) as response:
                held = await response.read()
                code = response.headers.get("Sealyard-Error", "")
                answer = Answer(response.status, held, code)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            await self.cut(sidecar, began, f"{method} {path}", error, room)
            return None
        if answer.status == _OK:
            self.journal.requested(began)
            return answer
        self.refused(sidecar, began, f"{method} {path}", answer, room)
        return answer if answer.status == _NOT_FOUND else None

    async def cut(
        self, sidecar: Sidecar, began: float, what: str, error: Exception, room: str
    ) -> None:
        """Count a request without a whole answer; rest, since the sidecar may be away."""
        self.told = repr(error)
        row = self.journal.requested(began)
        row.cut += 1
        if self.journal.calm(began) and not self.journal.settling(room):
            took = time.monotonic() - began
            told = f"{sidecar.name}: {what}: {error!r} after {took:.2f} s"
            self.journal.breach("cut without a fault", told)
        await asyncio.sleep(0.2)

    def refused(
        self, sidecar: Sidecar, began: float, what: str, answer: Answer, room: str = ""
    ) -> None:
        """Count an answer other than 200; one of Sealyard's own must have a cause in its log."""
        journal = self.journal
        row = journal.requested(began)
        self.told = f"{answer.status or ''} {answer.code}".strip()
        row.refused[self.told] += 1
        told = f"{sidecar.name}: {what}: {answer.status} {answer.code} {answer.body[:200]!r}"
        if answer.code:
            request_id = _instance(answer.body)
            if request_id:
                journal.expected_causes.append((sidecar.name, request_id, told))
        elif answer.status != EARLY:
            journal.breach("refused by the backend", told)
        if answer.code == "internal-error":
            journal.breach("internal error", told)
        if journal.settling(room):
            return
        if journal.calm(began):
            journal.breach("refused without a fault", told)
        window = journal.blame(began)
        of_keys = answer.code in {"key-unavailable", "keys-full", "open-failed"}
        if of_keys and sidecar.mode == "durable" and window and window.layer == "store":
            journal.breach("durable message refused for the store", f"{window.name}: {told}")


def _instance(body: bytes) -> str:
    try:
        return str(json.loads(body)["instance"])
    except (ValueError, KeyError):
        return ""


class Client(Asker):
    """One client of a pair of sidecars, which sends and reads until told to stop."""

    def __init__(
        self,
        pair: tuple[Sidecar, Sidecar],
        journal: Journal,
        session: aiohttp.ClientSession,
        random: Random,
    ) -> None:
        super().__init__(journal, session)
        self._pair = pair
        self._random = random
        self._mode: Mode = pair[0].mode
        self._works: dict[Callable[[], Awaitable[None]], int] = {
            self._send: 30,
            self._read: 15,
            self._list: 12,
            self._form: 8,
            self._talk: 4,
            self._upload: 4,
            self._stream: 2,
            self._fetch: 4,
            self._events: 5,
            self._pass: 10,
        }

    async def run(self, stop: asyncio.Event, pause: float) -> None:
        """Work until `stop`, with a rest of up to twice `pause` seconds between two requests."""
        works, weights = list(self._works), list(self._works.values())
        while not stop.is_set():
            (work,) = self._random.choices(works, weights)
            try:
                await work()
            except (ValueError, KeyError, TypeError) as error:
                # An answer 200 that is not what it should be.
                self.journal.breach("answer misshapen", f"{work.__name__}: {error!r}")
            await asyncio.sleep(self._random.uniform(0, 2 * pause))

    # --- sending ------------------------------------------------------------------------------

    async def _send(self) -> None:
        await self.send_json(self._sidecar(), self._room())

    async def send_json(self, sidecar: Sidecar, room: str) -> Message | None:
        """Send a JSON message; return it if it was acknowledged."""
        number, size = self._new()
        content = text(self.journal.canary, number, size)
        body = json.dumps({"number": number, "content": content}).encode()
        return await self._sent(sidecar, room, Draft("messages", number, size, body, content))

    async def _form(self) -> None:
        number, size = self._new()
        content = text(self.journal.canary, number, size)
        body = urlencode({"number": number, "content": content}).encode()
        draft = Draft("forms", number, size, body, content)
        await self._sent(self._sidecar(), self._room(), draft)

    async def _upload(self) -> None:
        number, size = self._new(largest=30_000)
        body = a_form(self.journal.canary, number, size)
        await self._sent(self._sidecar(), self._room(), Draft("files", number, size, body))

    async def _stream(self) -> None:
        number, size = self._new(largest=100_000)
        body = binary(self.journal.canary, number, size)
        await self._sent(self._sidecar(), self._room(), Draft("streams", number, size, body))

    async def _sent(self, sidecar: Sidecar, room: str, draft: Draft) -> Message | None:
        began, kind = time.monotonic(), draft.kind
        path = f"/{kind}/{room}/{draft.number}"
        answer = await self.ask(sidecar, "POST", path, draft.body, _TYPES[kind], room=room)
        if answer is None:
            return None
        if draft.content is not None and json.loads(answer.body)["content"] != draft.content:
            self.journal.breach("wrong answer", f"{sidecar.name} {path}")
            return None
        message = Message(draft.number, self._mode, room, kind, draft.size, began)
        self._acknowledged(message)
        if self._random.random() < 0.3:  # noqa: PLR2004 - a share
            await self.check(self._other(sidecar), message)
        return message

    def _acknowledged(self, message: Message) -> None:
        self.journal.row(message.at).acknowledged += 1
        self.journal.acknowledge(message)

    async def _talk(self) -> None:
        sidecar, room = self._sidecar(), self._room()
        began = time.monotonic()
        try:
            async with self.session.ws_connect(f"{sidecar.url}/sockets/{room}") as socket:
                for _ in range(self._random.randint(2, 6)):
                    began = time.monotonic()
                    await self._say(sidecar, socket, room)
                    await asyncio.sleep(0.03)
        except aiohttp.WSServerHandshakeError as error:
            code = error.headers.get("Sealyard-Error", "") if error.headers else ""
            self.refused(sidecar, began, f"WS {room}", Answer(error.status, b"", code), room)
        except _Closed as closed:
            code = f"WebSocket closed with {closed.code}"
            self.refused(sidecar, began, f"WS {room}", Answer(0, b"", code), room)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            await self.cut(sidecar, began, f"WS {room}", error, room)

    async def _say(
        self, sidecar: Sidecar, socket: aiohttp.ClientWebSocketResponse, room: str
    ) -> None:
        number, size = self._new()
        content = text(self.journal.canary, number, size)
        began = time.monotonic()
        await socket.send_json({"number": number, "content": content})
        answer = await socket.receive(timeout=PATIENCE.total)
        if answer.type is not WSMsgType.TEXT:
            raise _Closed(socket.close_code)
        self.journal.requested(began)
        if json.loads(answer.data)["content"] != content:
            self.journal.breach("wrong answer", f"{sidecar.name} socket {room} {number}")
            return
        self._acknowledged(Message(number, self._mode, room, "sockets", size, began))

    # --- reading ------------------------------------------------------------------------------

    async def _read(self) -> None:
        if message := self._pick(LISTED):
            await self.check(self._sidecar(), message)

    async def _fetch(self) -> None:
        if message := self._pick(frozenset({"files", "streams"})):
            await self.check(self._sidecar(), message)

    async def check(self, sidecar: Sidecar, message: Message) -> bool | None:
        """Read a message and compare it; None where it could not be read."""
        kind = "messages" if message.kind in LISTED else message.kind
        path = f"/{kind}/{message.room}/{message.number}"
        answer = await self.ask(sidecar, "GET", path, room=message.room)
        if answer is None:
            return None
        if answer.status == _NOT_FOUND:
            self.journal.breach("lost at the backend", f"{message}")
            return False
        if message.kind in LISTED:
            got = str(json.loads(answer.body)["content"])
            right = got == text(self.journal.canary, message.number, message.size)
        else:
            right = answer.body == plain_body(self.journal.canary, message)
        if not right:
            self.journal.breach("wrong answer", f"{sidecar.name} {message}")
        return right

    async def _list(self) -> None:
        if found := self._some(_LIST):
            await self.check_list(self._sidecar(), found)

    async def check_list(self, sidecar: Sidecar, found: list[Message]) -> bool | None:
        """Read messages of one room in a list; None where they could not be read."""
        room = found[0].room
        numbers = ",".join(str(one.number) for one in found)
        answer = await self.ask(sidecar, "GET", f"/lists/{room}?numbers={numbers}", room=room)
        if answer is None:
            return None
        if answer.status == _NOT_FOUND:
            self.journal.breach("lost at the backend", f"one of {numbers} in {room}")
            return False
        items = json.loads(answer.body)["items"]
        got = {int(one["number"]): one["content"] for one in items}
        return self._compare(sidecar, found, got)

    async def _events(self) -> None:
        found = self._some(_EVENTS)
        if not found:
            return
        sidecar, room = self._sidecar(), found[0].room
        numbers, began = ",".join(str(one.number) for one in found), time.monotonic()
        answer = await self.ask(sidecar, "GET", f"/events/{room}?numbers={numbers}", room=room)
        if answer is None or answer.status == _NOT_FOUND:
            return
        lines = [line for line in answer.body.splitlines() if line.startswith(b"data:")]
        items = [json.loads(line[5:]) for line in lines]
        if len(items) < len(found):  # a drain ends a stream between two events
            self.journal.row(began).cut += 1
            if self.journal.calm(began):
                told = f"{sidecar.name}: {len(items)} of {len(found)}"
                self.journal.breach("event stream ended early", told)
        came = {int(one["number"]): one["content"] for one in items}
        self._compare(sidecar, [one for one in found if one.number in came], came)

    def _compare(self, sidecar: Sidecar, found: list[Message], got: dict[int, str]) -> bool:
        canary = self.journal.canary
        wrong = [
            one.number for one in found if got.get(one.number) != text(canary, one.number, one.size)
        ]
        if wrong:
            self.journal.breach("wrong answer", f"{sidecar.name} {found[0].room} {wrong}")
        return not wrong

    async def _pass(self) -> None:
        body = self._random.randbytes(self._random.randrange(20_000))
        answer = await self.ask(self._sidecar(), "POST", "/plain/echo", body, _BYTES)
        if answer is not None and answer.body != body:
            self.journal.breach("wrong answer", "plain")

    # --- choosing -----------------------------------------------------------------------------

    def _sidecar(self) -> Sidecar:
        return self._pair[self._random.randrange(2)]

    def _other(self, sidecar: Sidecar) -> Sidecar:
        return self._pair[1] if sidecar is self._pair[0] else self._pair[0]

    def _room(self) -> str:
        return f"{self._named()}{named_after(self.journal.flushes[self._mode])}"

    def _named(self) -> str:
        chance = self._random.random()
        if chance < 0.1:  # noqa: PLR2004 - a share
            room = f"{self._mode}-revoked-{self._random.randrange(_REVOCABLE)}"
            after = named_after(self.journal.flushes[self._mode])
            if not self.journal.settling(room + after):
                return room
        elif chance < 0.15:  # noqa: PLR2004 - a share
            return f"{self._mode}-more-{self._random.randrange(_MORE_ROOMS)}"
        return f"{self._mode}-{self._random.randrange(_ROOMS)}"

    def _new(self, largest: int = 2_000) -> tuple[int, int]:
        return self.journal.next_number(), self._random.randrange(largest)

    def _pick(self, kinds: frozenset[str]) -> Message | None:
        return self.journal.pick(self._mode, self._random, kinds)

    def _some(self, most: int) -> list[Message]:
        first = self._pick(LISTED)
        if first is None:
            return []
        alive = [one for one in self.journal.rooms[first.room][-200:] if self.journal.alive(one)]
        return self._random.sample(alive, min(len(alive), most)) or [first]


def named_after(flushes: int) -> str:
    """Return how the names of rooms end after so many flushes."""
    return f"-after-{flushes}" if flushes else ""


def revocable(mode: Mode, flushes: int) -> list[str]:
    """Return the rooms that are revoked now and then."""
    after = named_after(flushes)
    return [f"{mode}-revoked-{number}{after}" for number in range(_REVOCABLE)]


def a_form(canary: str, number: int, size: int) -> bytes:
    """Return a multipart form with a note, and a file whose name is secret as well."""
    disposition = "Content-Disposition: form-data; name="
    content = binary(canary, number, size)
    parts = (
        f'{disposition}"note"\r\n\r\n{canary} {number}'.encode(),
        f'{disposition}"file"; filename="{canary}-{number}.bin"\r\n'.encode()
        + b"Content-Type: application/octet-stream\r\n\r\n"
        + content,
    )
    begin = f"--{_BOUNDARY}\r\n".encode()
    return b"".join(begin + one + b"\r\n" for one in parts) + f"--{_BOUNDARY}--\r\n".encode()


def plain_body(canary: str, message: Message) -> bytes:
    """Return what a file or a stream was sent as."""
    if message.kind == "files":
        return a_form(canary, message.number, message.size)
    return binary(canary, message.number, message.size)


_TYPES: Final[dict[Kind, dict[str, str]]] = {
    "messages": {"Content-Type": "application/json"},
    "forms": {"Content-Type": "application/x-www-form-urlencoded"},
    "files": _MULTIPART,
    "streams": _BYTES,
}
