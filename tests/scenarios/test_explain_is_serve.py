"""The law of `sealyard explain`: it tells what `serve` does, for drawn rules and drawn messages.

A real process serves the rules; the same messages are explained. Both have a backend that is
played, so that what it got can be compared byte for byte, tokens by their length.
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
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from proxy.config.load import load
from proxy.config.settings import SecretReference, Settings
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import ConfigurationError
from proxy.core.explain.explanation import (
    Explained,
    Explanation,
    PlayedAnswer,
    SocketMessage,
    Wanted,
)
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.roots import FileRoot
from proxy.keys.operations import values
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import MemoryStore
from proxy.wiring import explaining
from proxy.wiring.played import PlayedBackend, PlayedClient
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


def comparable(data: bytes) -> bytes:
    """Return bytes with tokens by their length, and without the ids of one process."""
    if b"Sealyard-Error" in data:  # the id of a request is as long as its number
        data = re.sub(rb"(?<=Content-Length: )[0-9]+", b"?", data)
    sized = _TOKEN.sub(lambda found: b"<%d>" % len(found[0]), data)
    return _OWN.sub(b"?", sized)


def a_configuration(folder: Path, admin: int, rules: list[dict[str, Any]]) -> str:
    """Return a configuration in JSON, which is YAML too."""
    return json.dumps(
        {
            "version": 1,
            "keys": {"keyring": {"file": "keyring.jwe", "key": {"file": "root.key"}}},
            "admin": {"listen": f"127.0.0.1:{admin}", "token": {"file": "admin.token"}},
            "fields": {
                "short": {"form": "short"},
                "tight": {"max_chars": 200},
                "text": {"string": True, "min_chars": 1},
                "packed": {"form": "base64"},
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
            received = await client.ask(explaining.with_defaults(wanted), self.backend)
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
                    if event["event"] in {"message.handled", "message.refused"}:
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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("law")) as made:
        yield made


@contextmanager
def a_world(folder: Path) -> Iterator[World]:
    """Run a process that serves no rules yet, and a backend behind it."""
    write_keys(folder)
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
        while not (folder / "front").exists():
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
    """Return tokens that open for field a, another field, another conversation, and as JSON."""
    here, there = Scope("clinic", "c1"), Scope("clinic", "other")
    asked = [
        values.ToSeal(CANARY.encode(), Context(here, field="a")),
        values.ToSeal(CANARY.encode(), Context(here, field="b")),
        values.ToSeal(CANARY.encode(), Context(there, field="a")),
        values.ToSeal(b'{"n": 4}', Context(here, field="a"), json_value=True),
        values.ToSeal(CANARY.encode(), Context(here)),
    ]
    return [one.decode() for one in await values.seal(sessions, asked)]


# --- drawn rules ------------------------------------------------------------------------------

ITEMS = st.sampled_from(
    [
        "$.a", "optional $.a", "$.a as short", "$.a as tight", "$.a as text", "$.a as packed",
        "optional $.b as a", "$.list.*.a", "optional $..a", "header:x-note as a",
        "optional query:q as a", "$.b json:$.a",
    ]
)  # fmt: skip
OPENS = st.sampled_from(["$.a", "optional $.a", "tokens", "optional $..a", "header:x-note as a"])
OTHERS = st.fixed_dictionaries(
    {},
    optional={
        "on_error": st.sampled_from(["reject", "keep"]),
        "already_sealed": st.sampled_from(["seal", "keep", "reject"]),
        "case_variants": st.sampled_from(["refuse", "allow"]),
        "elsewhere": st.sampled_from(["refuse", "allow"]),
        "expires": st.sampled_from(["1h", "never"]),
        "bind": st.sampled_from([["tenant", "conversation"], ["tenant", "field"]]),
        "mode": st.sampled_from(["enforce", "permissive until 2999-01-01"]),
        "escape": st.sampled_from(["auto", "html", "none"]),
    },
)
CONVERSATIONS = st.sampled_from(["const:c1", "$.c", "header:x-room", "query:room", "path:id"])


@st.composite
def blocks(draw: st.DrawFn, *, response: bool) -> dict[str, Any]:
    """Draw a block, most of them possible."""
    action = draw(st.sampled_from(["encrypt", "decrypt"]))
    items = draw(st.lists(OPENS if action == "decrypt" else ITEMS, min_size=1, max_size=2))
    if response:
        items = [one for one in items if "query:" not in one] or ["$.a"]
    block: dict[str, Any] = {action: items, **draw(OTHERS)}
    if draw(st.integers(0, 5)) == 0:
        block["absent"] = "$.secret"
    return block


@st.composite
def rules(draw: st.DrawFn, number: int) -> dict[str, Any]:
    """Draw a rule for the path of that number."""
    pattern = f"/r{number}/{{id}}"
    rule: dict[str, Any] = {
        "name": f"rule {number}",
        "match": draw(st.sampled_from([pattern, f"POST {pattern}", f"POST,PUT {pattern}"])),
        "conversation": draw(CONVERSATIONS),
    }
    request = draw(st.one_of(blocks(response=False), st.just("pass"), st.just("reject")))
    rule["request"] = request
    if draw(st.booleans()):
        rule["response"] = draw(blocks(response=True))
    if draw(st.integers(0, 6)) == 0:
        rule["mode"] = "observe"
    return rule


@st.composite
def rule_sets(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rules, without those that no configuration may hold, and one for a WebSocket."""
    drawn = [draw(rules(number)) for number in range(6)]
    kept = [one for one in drawn if possible([one])]
    assume(kept)
    socket_rule = {
        "name": "socket",
        "match": "WS /ws",
        "request": {"encrypt": draw(st.sampled_from(["$.a", "optional $.a", "text as a"]))},
        "response": {"decrypt": draw(st.sampled_from(["$.a", "tokens"])), "on_error": "keep"},
    }
    assume(possible([*kept, socket_rule]))
    return [*kept, socket_rule]


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


# --- drawn messages ---------------------------------------------------------------------------


@st.composite
def json_bodies(draw: st.DrawFn, tokens: list[str]) -> bytes:
    """Draw a body: values in plaintext, tokens that open and tokens that do not, and faults."""
    scalar = st.sampled_from([CANARY, "", 7, 1.10, None, [1], {"n": CANARY}, "x" * 300, "aGk="])
    token = st.sampled_from([*tokens, tokens[0][:-3], tokens[0][:-1] + "A", f"see {tokens[4]} !"])
    value = st.one_of(scalar, token)
    members: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "a": value,
                "b": st.one_of(value, st.just(json.dumps({"a": CANARY}))),
                "c": st.sampled_from(["c1", "other", 5, ""]),
                "A": value,
                "list": st.lists(st.fixed_dictionaries({"a": value}), max_size=3),
                "secret": value,
            },
        )
    )
    text = json.dumps(members).encode()
    fault = draw(st.integers(0, 12))
    if fault == 0:
        return text[:-1]
    if fault == 1:
        return b'{"a":1,"a":2}'
    return text


@st.composite
def messages(draw: st.DrawFn, count: int, tokens: list[str]) -> Wanted:
    """Draw a request and its answer."""
    token = st.sampled_from([CANARY, *tokens])
    target = f"/r{draw(st.integers(0, count))}/" + draw(
        st.sampled_from(["c1", "7", "%zz", "a%2fb"])
    )
    query = draw(st.sampled_from(["", "?q=v", "?room=c1&q=" + CANARY, "?a=1", "?room=1&room=2"]))
    headers = [JSON if draw(st.integers(0, 6)) else (b"Content-Type", b"text/plain")]
    if draw(st.booleans()):
        headers.append((b"X-Note", draw(token).encode()))
    if draw(st.booleans()):
        headers.append((b"X-Room", draw(st.sampled_from([b"c1", b"other", b"a,b"]))))
    method = draw(st.sampled_from(["POST", "POST", "PUT", "GET", "HEAD", "BREW"]))
    body = b"" if method in {"GET", "HEAD"} else draw(json_bodies(tokens))
    if not body:
        headers = headers[1:]
    kind = draw(
        st.sampled_from(
            [b"application/json"] * 4
            + [b"text/plain", b"text/html", b"text/event-stream", b"application/x-ndjson"]
        )
    )
    content = draw(json_bodies(tokens))
    if kind == b"text/event-stream":
        content = b"data: " + content + b"\n\n"
    status = draw(st.sampled_from([200, 200, 201, 404, 204, 206]))
    answer = PlayedAnswer(status, ((b"Content-Type", kind),), b"" if status == 204 else content)
    return Wanted(method, target + query, tuple(headers), body, answer)


def conversations(tokens: list[str]) -> st.SearchStrategy[Wanted]:
    """Draw a WebSocket and its messages."""
    one = st.builds(
        SocketMessage,
        st.sampled_from(["request", "response"]),
        json_bodies(tokens),
        st.just(value=False),
    )
    many = st.lists(one, min_size=1, max_size=4)
    return many.map(lambda some: Wanted("WS", "/ws", messages=tuple(some)))


# --- the law ----------------------------------------------------------------------------------


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes many minutes
    suppress_health_check=list(HealthCheck),
)
@given(drawn=rule_sets(), data=st.data())
def test_explain_tells_what_serve_does(
    world: World, drawn: list[dict[str, Any]], data: st.DataObject
) -> None:
    configuration = settings_of(drawn)
    world.runner.run(world.serving.take(drawn))
    for number in range(12):
        wanted = data.draw(messages(len(drawn) - 1, world.tokens), label=f"message {number}")
        world.runner.run(_same(world, configuration, wanted))
    wanted = data.draw(conversations(world.tokens), label="WebSocket")
    world.runner.run(_same(world, configuration, wanted))


async def _same(world: World, configuration: Settings, wanted: Wanted) -> None:
    sent, received, line, outcome = await world.serving.ask(wanted)
    keys = explaining.TrialKeys(time.time, world.sessions, world.sessions.keyring.primary.id)
    explained = await explaining.explain(configuration.listeners[0], wanted, keys)

    assert comparable(sent) == comparable(explained.sent)
    assert comparable(received) == comparable(explained.received)
    assert line.get("rule") == explained.request.rule
    if wanted.websocket:
        assert outcome.closed == next(
            (one.status for _, one in explained.messages if one.refusal), None
        )
    _same_refusal(line, explained)
    if "reason" not in line:
        _same_counts(line, explained)
    if not wanted.websocket:
        _same_masks(sent, explained.request)


def _refusals(explained: Explained) -> list[Explanation]:
    each = [explained.request, explained.response, *(one for _, one in explained.messages)]
    return [one for one in each if one is not None and one.refusal is not None]


def _same_refusal(line: dict[str, Any], explained: Explained) -> None:
    refused = _refusals(explained)
    told = [(one.refusal.code, one.refusal.reason) for one in refused if one.refusal is not None]
    logged = [(line["error.type"], line["reason"])] if line["event"] == "message.refused" else []
    assert logged == told[:1]
    if logged and not explained.messages:
        assert line["http.response.status_code"] == refused[0].status


def _values(explained: Explained) -> Counter[str]:
    each = [explained.request, explained.response, *(one for _, one in explained.messages)]
    return Counter(value.action for one in each if one is not None for value in one.values)


def _same_counts(line: dict[str, Any], explained: Explained) -> None:
    outcomes = ("sealed", "opened", "kept", "plain", "already_sealed", "in_markup")
    served = {one: line.get(one, 0) for one in outcomes}
    told = _values(explained)
    assert served == {one: told.get(one, 0) for one in outcomes}


def _same_masks(sent: bytes, request: Explanation) -> None:
    """Hold that what is shown differs from what is sent in nothing but the masks."""
    if request.outgoing is None or any(one.action != "sealed" for one in request.values):
        return
    masked = _MASK.sub(lambda found: b"<%b>" % found[1], request.outgoing)
    assert comparable(sent.partition(b"\r\n\r\n")[2]) == comparable(masked)
