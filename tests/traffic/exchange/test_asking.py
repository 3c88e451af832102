"""A name that a request lacks, asked of the backend as the caller: over sockets, with attacks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest

from proxy.config.limits import TrafficLimits
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_json_selector, parse_selector
from proxy.core.expressions.sources import JsonSource, SameSource, parse_ask, parse_source
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.traffic.byte_budget import ByteBudget
from proxy.traffic.exchange import asking
from proxy.traffic.policy import MOST_ASKED
from proxy.traffic.upstream.client import HttpUpstream
from tests.keys.builders import World, a_world

from ..ours import Ours, local, proxied
from ..wire import Origin, Peer, Response, Seen, connected, eventually, running

CANARY = "canary-91a7c0"
JSON = "Content-Type: application/json"
SELECT = parse_json_selector("$.room")
ASK = parse_ask("GET /notes/{id}", SELECT)
NAMES = Names(
    tenant=parse_source("const:t"), conversation=SameSource(ASK, also=(JsonSource(SELECT),))
)
BOUND = frozenset({"tenant", "conversation", "field"})
TEXT = Item(parse_selector("$.text"), "text", BOUND)  # type: ignore[arg-type]  # parts are texts
OPENS = (Block(decrypt=(replace(TEXT, optional=True),)),)
SEALS = (Block(encrypt=(TEXT,), others="refuse", query=frozenset()),)
CREATE = Rule(
    "create",
    (parse_pattern("POST /notes"),),
    replace(NAMES, conversation=parse_source("$.room")),
    request=SEALS,
)
CHANGE = Rule("change", (parse_pattern("PATCH /notes/{id}"),), NAMES, SEALS, OPENS)
REMOVE = Rule("remove", (parse_pattern("DELETE /notes/{id}"),), NAMES, response=OPENS)


@dataclass
class Notes:
    """A backend of notes, each with an owner: who may read it is who sends its name as a token."""

    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    raw: bytes | None = None
    """What every GET is answered with, if given."""

    async def script(self, peer: Peer, _: Origin) -> None:
        while True:
            seen = await peer.request()
            self.seen.append(seen)
            peer.send(self.answer(seen))

    def answer(self, seen: Seen) -> bytes:
        method, target, _ = seen.head.split(b"\r\n")[0].decode().split(" ")
        if method == "GET" and self.raw is not None:
            return self.raw
        who = b"".join(seen.values(b"authorization")).decode()
        row = self.rows.get(target.removeprefix("/notes/"))
        if method == "POST":
            row = self.rows[f"n{len(self.rows)}"] = {**json.loads(seen.body), "owner": who}
        elif row is None:
            return told(404, {})
        elif row["owner"] != who:
            return told(403, {})
        elif method == "PATCH":
            row |= json.loads(seen.body)
        return told(200, row)

    def methods(self) -> list[str]:
        return [one.head.split(b" ")[0].decode() for one in self.seen]


def told(status: int, value: object, *headers: str) -> bytes:
    body = json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status} X", JSON, f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def raw(body: str, kind: str = "application/json", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return (
        f"HTTP/1.1 200 X\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n{body}".encode()
    )


def asked(method: str, target: str, value: object = None, *headers: str, who: str = "ann") -> bytes:
    body = b"" if value is None else json.dumps(value).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: a", f"Authorization: {who}", *headers]
    if body:
        lines += [JSON, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def send(ours: Ours, data: bytes) -> Response:
    async with connected(ours.port) as client:
        client.send(data)
        return await client.response()


class Scene:
    """A proxy before a backend of notes."""

    def __init__(self, *rules: Rule, limits: TrafficLimits | None = None) -> None:
        self.notes = Notes()
        self.origin = Origin(self.notes.script)
        self.table = RuleTable(rules or (CREATE, CHANGE, REMOVE), pass_unmatched=True)
        self.world: World = a_world()
        self.limits = limits
        self.failures: list[object] = []
        self.told: dict[str, object] = {}

    async def run(self, *requests: bytes) -> list[Response]:
        """Return what comes of some requests, one after the other."""
        async with (
            running(self.origin),
            proxied(
                local(self.origin.port),
                rule_table=self.table,
                keys=self.world.sessions,
                limits=self.limits,
            ) as ours,
        ):
            found = [await send(ours, one) for one in requests]
            self.told = ours.ear.last
            await eventually(lambda: len(ours.ear.lines) == len(found))
            lines = [one.observations for one in ours.ear.lines]
            self.failures = [one["would_fail"] for one in lines if "would_fail" in one]
            return found


NEW = asked("POST", "/notes", {"room": "c1", "text": CANARY})


async def test_a_change_by_id_is_sealed_for_the_room_of_what_is_changed() -> None:
    scene = Scene()
    created, changed = await scene.run(NEW, asked("PATCH", "/notes/n0", {"text": CANARY + "2"}))
    assert (created.status, changed.status) == (200, 200)
    assert json.loads(changed.body) == {"room": "c1", "text": CANARY + "2", "owner": "ann"}
    assert scene.notes.methods() == ["POST", "GET", "PATCH"]
    assert CANARY not in b"".join(one.head + one.body for one in scene.notes.seen).decode()
    question = scene.notes.seen[1]
    assert question.target == b"/notes/n0"
    assert question.values(b"authorization") == [b"ann"]
    assert question.values(b"content-length") == question.values(b"content-type") == []
    assert "asked_ms" in scene.told
    # It is the same conversation: what creates and what changes open each other's tokens.
    scene.notes.rows["n0"]["text"] = json.loads(scene.notes.seen[0].body)["text"]
    again = await scene.run(asked("PATCH", "/notes/n0", {"text": "x"}, "X-Show: old"))
    assert again[0].status == 200


async def test_a_token_of_another_room_does_not_open() -> None:
    scene = Scene()
    await scene.run(NEW, asked("POST", "/notes", {"room": "c2", "text": "mine"}))
    scene.notes.rows["n1"]["text"] = scene.notes.rows["n0"]["text"]
    (answer,) = await scene.run(asked("DELETE", "/notes/n1"))
    assert answer.status == 502
    assert CANARY.encode() not in answer.raw


@pytest.mark.parametrize(("target", "who", "status"), [("n7", "ann", 404), ("n0", "bob", 403)])
async def test_what_the_backend_does_not_tell_the_caller_changes_nothing(
    target: str, who: str, status: int
) -> None:
    scene = Scene()
    _, answer = await scene.run(NEW, asked("PATCH", f"/notes/{target}", {"text": CANARY}, who=who))
    assert answer.status == status
    assert scene.notes.methods() == ["POST", "GET"]
    assert json.loads(answer.body)["type"].endswith(
        "ask-refused" if status == 403 else "ask-not-found"
    )


async def test_a_name_is_kept_for_its_caller_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    change = asked("PATCH", "/notes/n0", {"text": "x"})
    answers = await scene.run(
        NEW, change, change, asked("PATCH", "/notes/n0", {"text": "x"}, who="bob")
    )
    assert [one.status for one in answers] == [200, 200, 200, 403]
    assert scene.notes.methods() == ["POST", "GET", "PATCH", "PATCH", "GET"]
    # Whatever else a backend may know a caller by is part of what asks.
    scene.notes.seen.clear()
    cookie = asked("PATCH", "/notes/n0", {"text": "x"}, "Cookie: s=1")
    await scene.run(change, cookie, asked("PATCH", "/notes/n0", {"text": "x"}, "X-Key: 1"))
    assert scene.notes.methods() == ["GET", "PATCH"] * 3
    monkeypatch.setattr(asking, "ASKED_SECONDS", 0.0)
    scene.notes.seen.clear()
    await scene.run(change, change)
    assert scene.notes.methods() == ["GET", "PATCH"] * 2


async def test_a_kept_name_ends_and_there_are_few() -> None:
    now = [0.0]
    kept = asking.BackendNames(HttpUpstream(local(1)), ByteBudget(), lambda: now[0])
    for one in range(MOST_ASKED + 2):
        kept._keep(b"%d" % one, "c")
    assert len(kept._kept) == MOST_ASKED


async def test_an_answer_of_another_room_opens_nothing() -> None:
    """The row moves, or a backend answers with another one, between question and answer."""
    scene = Scene()
    await scene.run(NEW)
    token = scene.notes.rows["n0"]["text"]
    for answer in (
        {"room": "c2", "text": token},
        {"room": ["c1"], "text": token},
        {"room": "c1", "Room": "c2", "text": token},
    ):
        scene.notes.raw = told(200, {"room": "c1"})
        scene.notes.rows = {"n0": {**answer, "owner": "ann"}}  # type: ignore[dict-item]  # of a hostile backend
        (found,) = await scene.run(asked("DELETE", "/notes/n0"))
        assert found.status == 502, answer
        assert CANARY.encode() not in found.raw
    for same in ({}, {"room": "c1"}, {"room": None}):
        scene.notes.rows = {"n0": {**same, "text": token, "owner": "ann"}}  # type: ignore[dict-item]  # as above
        (found,) = await scene.run(asked("DELETE", "/notes/n0"))
        assert json.loads(found.body)["text"] == CANARY


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ({"text": "x", "room": "c1"}, 200),
        ({"text": "x", "room": "c2"}, 400),
        ({"text": "x", "Room": "c2"}, 400),
        ({"text": "x", "room": ["c2"]}, 400),
    ],
)
async def test_a_request_names_no_other_room(value: object, status: int) -> None:
    scene = Scene()
    _, answer = await scene.run(NEW, asked("PATCH", "/notes/n0", value))
    assert answer.status == status


@pytest.mark.parametrize(
    "answer",
    [
        told(200, {}),
        told(200, {"room": ""}),
        told(200, {"room": None}),
        told(200, {"room": "c" * 2000}),
        told(200, {"room": "c1", "ROOM": "c2"}),
        raw('{"room":"c1","room":"c2"}'),
        raw('{"room":"c1"}', "text/html"),
        raw('{"r'),
        raw("{", length=99999999),
        told(200, {"room": "c1"}, "Content-Encoding: br"),
    ],
)
async def test_an_answer_without_one_name_is_no_answer(answer: bytes) -> None:
    scene = Scene()
    scene.notes.rows["n0"] = {"owner": "ann", "room": "c1"}
    scene.notes.raw = answer
    (found,) = await scene.run(asked("PATCH", "/notes/n0", {"text": CANARY}))
    assert found.status in {413, 502}
    assert scene.notes.methods() == ["GET"]


@pytest.mark.parametrize("status", [301, 302, 304, 401, 500, 503])
async def test_a_status_other_than_2xx_is_no_answer(status: int) -> None:
    scene = Scene()
    scene.notes.raw = told(status, {"room": "c1"}, "Location: http://127.0.0.1:1/notes/n1")
    if status == 304:
        scene.notes.raw = b"HTTP/1.1 304 X\r\n\r\n"
    (found,) = await scene.run(asked("PATCH", "/notes/n0", {"text": CANARY}))
    assert found.status == 403
    assert scene.notes.methods() == ["GET"]


@pytest.mark.parametrize(
    "target",
    ["/notes/..%2Fadmin", "/notes/n0;x=1", "/notes/a%5C..%5Cb", "/notes/..%252Fx"],
)
async def test_no_label_leads_to_another_target(target: str) -> None:
    scene = Scene()
    (found,) = await scene.run(asked("PATCH", target, {"text": CANARY}))
    assert found.status in {400, 404}
    assert all(
        one.target.startswith(b"/notes/") and b".." not in one.target for one in scene.notes.seen
    )
    assert CANARY not in b"".join(one.head + one.body for one in scene.notes.seen).decode()


async def test_a_parameter_is_put_where_it_is_one() -> None:
    ask = parse_ask("GET /notes/{query:id}?view={query:view}&f=room", SELECT)
    names = replace(NAMES, conversation=SameSource(ask))
    rule = replace(CHANGE, patterns=(parse_pattern("PATCH /notes"),), names=names, response=OPENS)
    scene = Scene(rule)
    scene.notes.raw = told(200, {"room": "c1"})
    scene.notes.rows["n0"] = {"owner": "ann"}
    targets = [
        "/notes?id=n%20%3F1%26a&view=a%26f%3Dx",
        "/notes?id=..&view=1",
        "/notes?id=a%2Fb&view=1",
    ]
    targets += ["/notes?id=n0&view=1&id=n1", "/notes?view=1", "/notes?id=&view=1"]
    found = await scene.run(*(asked("PATCH", one, {"text": CANARY}) for one in targets))
    assert scene.notes.seen[0].target == b"/notes/n%20%3F1%26a?view=a%26f%3Dx&f=room"
    assert [one.status for one in found[1:]] == [400] * 5
    assert scene.notes.methods() == ["GET", "PATCH"]


async def test_no_sealed_header_goes_with_the_question() -> None:
    subject = Item(parse_selector("header:x-subject"), "subject", BOUND)  # type: ignore[arg-type]  # as above
    rule = replace(CHANGE, request=(replace(SEALS[0], encrypt=(TEXT, subject)),))
    scene = Scene(CREATE, rule)
    _, found = await scene.run(
        NEW, asked("PATCH", "/notes/n0", {"text": "x"}, f"X-Subject: {CANARY}", "If-Match: *")
    )
    assert found.status == 200
    assert CANARY not in b"".join(one.head for one in scene.notes.seen).decode()
    assert scene.notes.seen[1].values(b"x-subject") == scene.notes.seen[1].values(b"if-match") == []


async def test_no_header_makes_another_request_of_the_question() -> None:
    lines = ["X-HTTP-Method-Override: PATCH", "X.Method: PATCH", "X-Original-URL: /notes/n0"]
    scene = Scene()
    _, found = await scene.run(NEW, asked("PATCH", "/notes/n0", {"text": "x"}, *lines))
    assert found.status == 200
    _, question, change = (one.head.lower() for one in scene.notes.seen)
    for line in lines:
        name = line.partition(":")[0].lower().encode()
        assert name in change
        assert name not in question


async def test_a_question_takes_one_of_the_permits_and_gives_it_back() -> None:
    limits = replace(TrafficLimits(), connections=1)
    scene = Scene(limits=limits)
    change = asked("PATCH", "/notes/n0", {"text": "x"})
    answers = await scene.run(NEW, change, asked("PATCH", "/notes/n9", {"text": "x"}), change)
    assert [one.status for one in answers] == [200, 200, 404, 200]


async def test_a_client_that_leaves_gives_its_permit_back() -> None:
    async def silent(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        await peer.reader.read()

    origin = Origin(silent)
    table = RuleTable((CHANGE,), pass_unmatched=True)
    async with running(origin), proxied(local(origin.port), rule_table=table) as ours:
        async with connected(ours.port) as client:
            client.send(asked("PATCH", "/notes/n0", {"text": "x"}))
            await eventually(lambda: len(origin.seen) == 1)
        await eventually(lambda: ours.upstream.permits.in_use == 0)
        assert origin.seen[0].head.startswith(b"GET ")


async def test_a_rule_that_observes_asks_once_its_message_has_passed() -> None:
    observing = replace(CHANGE, observes=True)
    scene = Scene(CREATE, observing)
    change = asked("PATCH", "/notes/n0", {"text": "x"})
    await scene.run(NEW, change, asked("PATCH", "/notes/n9", {"text": "x"}))
    assert scene.notes.methods()[:3] == ["POST", "PATCH", "GET"]
    assert scene.failures == ["asked-not-found"]
