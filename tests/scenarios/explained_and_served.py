"""A process that serves, and `explain` with the same rules: what both make of one message.

Both have a backend that is played, so that what it got can be compared byte for byte; tokens and
sealed streams by their length.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from hypothesis import strategies as st

from proxy.config.load import load
from proxy.config.settings import SecretReference, Settings
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import ConfigurationError
from proxy.core.explain.explanation import (
    Explained,
    ExplainedValue,
    Explanation,
    PlayedAnswer,
    Wanted,
)
from proxy.explaining import trial
from proxy.explaining.played import PlayedBackend, PlayedClient
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.roots import FileRoot
from proxy.keys.operations import values
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import MemoryStore
from tests.scenarios.rig import TOKEN, command, environment, write_keys
from tests.servers import child, free_port

CANARY = "CANARY-explain-41"
JSON = (b"Content-Type", b"application/json")
PATIENCE = 120.0
_TOKEN = re.compile(
    rb"eyJ0eXAiOiJzeTEi[A-Za-z0-9_.-]+|sy1\.[A-Za-z0-9_-]+|iVNZMUI2NA0K[A-Za-z0-9+/]+=*"
)
_MASK = re.compile(rb"<[a-zA-Z:. -]+ sealed, ([0-9]+) characters>")
_OWN = re.compile(
    rb"sealyard-[0-9a-f]{8}|[0-9a-f]{12}-[0-9a-f]+|(?<=Date: )[^\r]+|(?<=Sec-WebSocket-Key: )[^\r]+"
    rb"|(?<=Sec-WebSocket-Accept: )[^\r]+"
)


_TAG = re.compile(rb"~[a-z2-7]{5}~")
_STREAM = re.compile(rb"SYST\x01.*?(?=\r\n--cut-here|\Z)", re.DOTALL)


def comparable(data: bytes) -> bytes:
    """Return bytes with tokens and streams by their length, without the ids of one process."""
    data = _STREAM.sub(lambda found: b"<stream %d>" % len(found[0]), data)
    if b"Sealyard-Error" in data:  # the id of a request is as long as its number
        data = re.sub(rb"(?<=Content-Length: )[0-9]+", b"?", data)
    data = _TAG.sub(b"~tag~", data)  # a trial has an index secret of its own
    sized = _TOKEN.sub(lambda found: b"<%d>" % len(found[0]), data)
    return _OWN.sub(b"?", sized)


def a_configuration(folder: Path, admin: int, rules: list[dict[str, Any]]) -> str:
    """Return a configuration in JSON, which is YAML too."""
    return json.dumps(
        {
            "version": 1,
            "keys": {
                "keyring": {"file": "keyring.jwe", "key": {"file": "root.key"}},
                "store": "sqlite:law.db",
            },
            "admin": {"listen": f"127.0.0.1:{admin}", "token": {"file": "admin.token"}},
            "fields": {
                "short": {"form": "short"},
                "tight": {"max_chars": 200},
                "text": {"string": True, "min_chars": 1},
                "packed": {"form": "base64"},
                "said": {"index": {"words": {}}},
            },
            "listeners": [
                {
                    "name": "api",
                    "listen": f"unix:{folder / 'front'}",
                    "upstream": f"unix:{folder / 'back'}",
                    "unmatched": "pass",
                    "trusted_names": True,
                    "defaults": {"tenant": "const:clinic", "conversation": "const:c1"},
                    "rules": rules,
                }
            ],
        }
    )


_LINES: Final = frozenset({"message.failed", "message.handled", "message.refused"})


@dataclass
class Serving:
    """A process that serves, the backend behind it, and where its log has been read to."""

    folder: Path
    admin: int
    backend: PlayedBackend
    log: Path
    at: int = 0
    rules: list[dict[str, Any]] = field(default_factory=list)

    async def take(self, rules: list[dict[str, Any]]) -> None:
        """Let the process serve other rules."""
        text = a_configuration(self.folder, self.admin, rules)
        (self.folder / "sealyard.yaml").write_text(text)
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
            url = f"http://127.0.0.1:{self.admin}/-/reload"
            async with session.post(url) as response:
                assert response.status == 200, await response.text()

    async def ask(self, wanted: Wanted) -> tuple[bytes, bytes, dict[str, Any], Any]:
        """Return what backend and client got of a message, its line in the log, and the rest."""
        self.backend.forget()
        self.backend.answer = wanted.answer or PlayedAnswer()
        self.backend.reads_messages = wanted.websocket
        client = PlayedClient(*await asyncio.open_unix_connection(self.folder / "front"))
        async with asyncio.timeout(PATIENCE):
            received = await client.ask(trial.with_defaults(wanted), self.backend)
            await client.leave()
            line = await self._line()
        return self.backend.raw, received.raw, line, received

    async def _line(self) -> dict[str, Any]:
        while True:
            text = self.log.read_bytes()[self.at :]
            for one in text.split(b"\n")[:-1]:
                self.at += len(one) + 1
                if one.startswith(b"{"):
                    event = json.loads(one)
                    if event["event"] in _LINES:
                        return dict(event)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def a_backend(folder: Path) -> AsyncIterator[PlayedBackend]:
    """Play a backend at a Unix socket."""
    backend = PlayedBackend(PlayedAnswer(), reads_messages=False)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "back"))
    listening.listen()
    listening.setblocking(False)  # noqa: FBT003 - the signature of the standard library

    async def accept() -> None:
        while True:
            sock, _ = await asyncio.get_running_loop().sock_accept(listening)
            await backend.serve(sock)

    accepting = asyncio.get_running_loop().create_task(accept())
    try:
        yield backend
    finally:
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        await backend.close()
        listening.close()


@dataclass
class World:
    """A serving process, and sessions with its keyring for those that explain."""

    runner: asyncio.Runner
    serving: Serving
    sessions: Sessions
    tokens: list[str]


@contextmanager
def a_world(folder: Path) -> Iterator[World]:
    """Serve in a folder, without rules at first."""
    write_keys(folder, indexed=True)
    admin = free_port()
    (folder / "sealyard.yaml").write_text(a_configuration(folder, admin, []))
    log = folder / "sealyard.log"
    root = FileRoot(SecretReference(file=folder / "root.key"))
    keyring = open_keyring(folder / "keyring.jwe", root)
    sessions = Sessions(
        keyring,
        MemoryStore(time.monotonic),
        SessionSettings(),
        clock=time.time,
        random=os.urandom,
    )
    with asyncio.Runner() as runner, child(command(folder), log, environment()) as process:
        deadline = time.monotonic() + PATIENCE
        while "server.ready" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        holder = a_backend(folder)
        backend = runner.run(holder.__aenter__())
        tokens = runner.run(_tokens(sessions))
        yield World(runner, Serving(folder, admin, backend, log), sessions, tokens)
        runner.run(holder.__aexit__(None, None, None))
        text = log.read_text()
        assert CANARY not in text


async def _tokens(sessions: Sessions) -> list[str]:
    """Return tokens that open for field a, others, another conversation, and as JSON."""
    here, there = Scope("clinic", "c1"), Scope("clinic", "other")
    asked = [
        values.ToSeal(CANARY.encode(), Context(here, field="a")),
        values.ToSeal(CANARY.encode(), Context(here, field="b")),
        values.ToSeal(CANARY.encode(), Context(there, field="a")),
        values.ToSeal(b'{"n": 4}', Context(here, field="a"), json_value=True),
        values.ToSeal(CANARY.encode(), Context(here)),
        values.ToSeal(CANARY.encode(), Context(here, field="said")),
        values.ToSeal(b'{"n": 4}', Context(here, field="said"), json_value=True),
    ]
    return [one.decode() for one in await values.seal(sessions, asked)]


def possible(some: list[dict[str, Any]]) -> bool:
    """Return whether a configuration may hold the rules."""
    try:
        settings_of(some)
    except ConfigurationError:
        return False
    return True


def settings_of(some: list[dict[str, Any]], folder: Path = Path("/nowhere")) -> Settings:
    """Return the settings with these rules; raise ConfigurationError."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "sealyard.yaml"
        path.write_text(a_configuration(folder, 1, some))
        return load(path, {}).settings


def hold(
    world: World,
    rules: list[dict[str, Any]],
    data: st.DataObject,
    messages: st.SearchStrategy[Wanted],
    count: int = 12,
) -> Settings:
    """Serve rules, and hold that drawn messages come to the same; return the configuration."""
    configuration = settings_of(rules)
    world.runner.run(world.serving.take(rules))
    for number in range(count):
        wanted = data.draw(messages, label=f"message {number}")
        world.runner.run(same(world, configuration, wanted))
    return configuration


async def same(world: World, configuration: Settings, wanted: Wanted) -> tuple[bytes, Explained]:
    """Hold that a message comes to the same, served and explained; return what its sender got."""
    sent, received, line, outcome = await world.serving.ask(wanted)
    keys = trial.TrialKeys(time.time, world.sessions, world.sessions.keyring.primary.id)
    explained = await trial.explain(configuration.listeners[0], wanted, keys)

    assert comparable(sent) == comparable(explained.sent)
    # What passes unread goes on with its length where all of it came at once, else in chunks.
    compared = _without_framing if _is_stream(wanted) else bytes
    assert compared(comparable(received)) == compared(comparable(explained.received))
    assert line.get("rule") == explained.request.rule
    if wanted.websocket:
        assert outcome.closed == next(
            (one.status for _, one in explained.messages if one.refusal), None
        )
    _same_refusal(line, explained, status=not wanted.websocket)
    if "reason" not in line:
        _same_counts(line, explained)
    if not wanted.websocket and not any(b"multipart" in one for _, one in wanted.headers):
        _same_masks(sent, explained.request)  # a part has headers, which are not shown
    return received, explained


def _refusals(explained: Explained) -> list[Explanation]:
    each = [explained.request, explained.response, *(one for _, one in explained.messages)]
    return [one for one in each if one is not None and one.refusal is not None]


def _without_framing(response: bytes) -> bytes:
    """Return a response without the header that frames it."""
    return re.sub(
        rb"\r\n(Transfer-Encoding: chunked|Content-Length: [0-9]+)(?=\r\n)", b"", response
    )


def _is_stream(wanted: Wanted) -> bool:
    kinds = () if wanted.answer is None else (one for _, one in wanted.answer.headers)
    return any(one in {b"text/event-stream", b"application/x-ndjson"} for one in kinds)


def _same_refusal(line: dict[str, Any], explained: Explained, *, status: bool) -> None:
    refused = _refusals(explained)
    told = [(one.refusal.code, one.refusal.reason) for one in refused if one.refusal is not None]
    logged = [(line["error.type"], line["reason"])] if "reason" in line else []
    assert logged == told[:1]
    if logged and status:
        assert line["http.response.status_code"] == refused[0].status


def _values(explained: Explained) -> Counter[str]:
    each = [explained.request, explained.response, *(one for _, one in explained.messages)]
    return Counter(
        value.action
        for one in each
        if one is not None
        for value in one.values
        if _counts(one, value)
    )


def _counts(one: Explanation, value: ExplainedValue) -> bool:
    """Whether `serve` counts a value: of what a search drops, it tells nothing that stays."""
    stays = value.action in {"kept", "plain", "already_sealed", "in_markup"}
    dropped = (each for each in one.values if each.action == "filtered")
    return not stays or not any(each.start <= value.start < each.end for each in dropped)


def _same_counts(line: dict[str, Any], explained: Explained) -> None:
    outcomes = (
        *("sealed", "opened", "kept", "plain", "already_sealed", "in_markup", "sentinel"),
        *("searched", "found", "filtered"),
    )
    served = {one: line.get(one, 0) for one in outcomes}
    told = _values(explained)
    assert served == {one: told.get(one, 0) for one in outcomes}


def _same_masks(sent: bytes, request: Explanation) -> None:
    """Hold that what is shown differs from what is sent in nothing but the masks."""
    if request.outgoing is None or any(one.action != "sealed" for one in request.values):
        return
    if _STREAM.search(sent) is not None:  # of a sealed stream, no size is shown
        return
    masked = _MASK.sub(lambda found: b"<%b>" % found[1], request.outgoing)
    assert comparable(sent.partition(b"\r\n\r\n")[2]) == comparable(masked)
