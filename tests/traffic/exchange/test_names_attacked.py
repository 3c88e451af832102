"""Rows moved by whoever writes the backend's store, over sockets: what opens, and for whom."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from proxy.core.compiled.rule_table import RuleTable
from tests.config.builders import loaded, with_rules
from tests.keys.builders import World, a_world

from ..ours import Ours, local, proxied
from ..wire import Origin, Peer, Response, connected, running

JSON = "Content-Type: application/json"
RULES = """\
      - name: write
        match: POST /{clinic}/Patient/{id}/notes
        conversation: {from: 'Patient/{path:id}', also: [$.subject]}
        distinct: [$.patient, $.doctor]
        request:
          records: one-or-many
          encrypt:
            - $.text
            - optional $.patient.name
            - optional $.doctor.name
            - {select: '$.blocks.*.text', where: {$.type: section}}
          plain: ['$.blocks.*.{type,text}', $.status]
      - name: search
        match: GET /{clinic}/notes
        distinct: [$.patient, $.doctor]
        response:
          conversation: '$.entry[*].subject'
          decrypt: tokens
          on_error: keep
      - name: read
        match: GET /{clinic}/Patient/{id}/notes
        conversation: 'Patient/{path:id}'
        distinct: [$.patient, $.doctor]
        response: {records: one-or-many, decrypt: tokens, on_error: keep}
"""
CLINICS, PATIENTS = ("north", "south"), ("1", "2")


class Store:
    """A backend that keeps what it gets, and answers with what it is told to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.answer: object = {}

    async def script(self, peer: Peer, _: Origin) -> None:
        while True:
            seen = await peer.request()
            if seen.body:
                self.written.append(seen.body)
            body = json.dumps(self.answer).encode()
            head = f"HTTP/1.1 200 X\r\n{JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
            peer.send(head.encode() + body)


class Scene:
    """A proxy with the rules above, before a store."""

    def __init__(self) -> None:
        text = with_rules(RULES, defaults="{tenant: path:clinic}")
        (listener,) = loaded(text).settings.listeners
        self.table = RuleTable(listener.rules, pass_unmatched=True)
        self.store = Store()
        self.world: World = a_world()

    async def run(self, *requests: tuple[str, str, object]) -> list[Response]:
        """Return the answers to some requests."""
        origin = Origin(self.store.script)
        async with (
            running(origin),
            proxied(local(origin.port), rule_table=self.table, keys=self.world.sessions) as ours,
        ):
            return [await _send(ours, *one) for one in requests]

    async def read(self, target: str, answer: object) -> Any:  # noqa: ANN401 - what JSON holds
        """Return what a client gets of an answer."""
        self.store.answer = answer
        (found,) = await self.run(("GET", target, None))
        return json.loads(found.body)


async def _send(ours: Ours, method: str, target: str, value: object) -> Response:
    body = b"" if value is None else json.dumps(value).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: a"]
    lines += [JSON, f"Content-Length: {len(body)}"] if body else []
    async with connected(ours.port) as client:
        client.send("\r\n".join([*lines, "", ""]).encode() + body)
        return await client.response()


def canary(clinic: str, patient: str) -> str:
    return f"canary-{clinic}-{patient}"


async def tokens(scene: Scene) -> dict[tuple[str, str], str]:
    """Return the token of a note of each patient of each clinic."""
    owners = list(itertools.product(CLINICS, PATIENTS))
    await scene.run(
        *(("POST", f"/{one[0]}/Patient/{one[1]}/notes", {"text": canary(*one)}) for one in owners)
    )
    written = [json.loads(one)["text"] for one in scene.store.written]
    assert "canary" not in "".join(written)
    return dict(zip(owners, written, strict=True))


async def test_a_row_that_is_moved_with_its_reference_opens_in_no_other_clinic() -> None:
    scene = Scene()
    known = await tokens(scene)
    for clinic in CLINICS:
        rows = [
            {"subject": f"Patient/{named}", "text": token, "of": [*owner], "as": named}
            for (owner, token), named in itertools.product(known.items(), PATIENTS)
        ]
        found = await scene.read(f"/{clinic}/notes", {"entry": rows})
        for row in found["entry"]:
            owner = tuple(row["of"])
            opens = owner == (clinic, row["as"])
            assert row["text"] == (canary(*owner) if opens else known[owner])


async def test_no_place_of_an_answer_opens_what_is_of_another_patient() -> None:
    scene = Scene()
    known = await tokens(scene)
    mine, other = known["north", "1"], known["north", "2"]
    found = await scene.read(
        "/north/notes",
        {
            "text": other,
            "subject": "Patient/2",
            "entry": [
                {
                    "subject": "Patient/1",
                    "text": other,
                    "inner": {"subject": "Patient/2", "text": other},
                },
                {"subject": "Patient/1", "entry": [{"subject": "Patient/2", "text": other}]},
                {"subject": ["Patient/2"], "text": other},
                {"subject": None, "text": other},
                {"subject": {"subject": "Patient/2"}, "text": other},
                {
                    "subject": "Patient/1",
                    "text": json.dumps({"subject": "Patient/2", "text": other}),
                },
                {"subject": "Patient/1", "text": mine, other: other},
                other,
                [{"subject": "Patient/2", "text": other}],
            ],
        },
    )
    text = json.dumps(found)
    assert canary("north", "2") not in text
    assert text.count(canary("north", "1")) == 1


@pytest.mark.parametrize(
    "target", ["/north/Patient/1/notes?id=2", "/north/Patient/1/notes?clinic=south"]
)
async def test_no_name_in_the_query_opens_another(target: str) -> None:
    scene = Scene()
    known = await tokens(scene)
    for owner, token in known.items():
        found = await scene.read(target, {"text": token})
        assert canary(*owner) not in json.dumps(found)


@pytest.mark.parametrize("target", ["/north/Patient/1%2F../notes", "/north/Patient/1;x/notes"])
async def test_no_spelling_of_a_label_opens_another(target: str) -> None:
    scene = Scene()
    known = await tokens(scene)
    found = await scene.read(target, [{"text": one} for one in known.values()])
    assert "canary" not in json.dumps(found)


async def test_one_record_or_many_open_for_their_own_label_alone() -> None:
    scene = Scene()
    known = await tokens(scene)
    for answer in (
        [{"text": one} for one in known.values()],
        *({"text": one} for one in known.values()),
    ):
        found = await scene.read("/north/Patient/1/notes", answer)
        told = json.dumps(found)
        allowed = known["north", "1"] in json.dumps(answer)
        assert told.count("canary") == allowed
        assert told.count(canary("north", "1")) == allowed


async def test_no_value_gets_out_between_one_and_many_or_types_of_elements() -> None:
    scene = Scene()
    target, text = "/north/Patient/1/notes", "canary-out"
    good = {
        "text": text,
        "blocks": [{"type": "section", "text": text}, {"type": "rule", "text": "-"}],
    }
    for value in (good, [good, good], {**good, "subject": "Patient/1"}):
        (answer,) = await scene.run(("POST", target, value))
        assert answer.status == 200
    bad: list[object] = [
        [[good]],
        {"0": good},
        {**good, "subject": "Patient/2"},
        [good, {**good, "subject": "Patient/2"}],
        {**good, "blocks": {"type": "section", "text": text}},
        {**good, "blocks": [{"type": "Section", "text": text}]},
        {**good, "blocks": [{"type": ["section"], "text": text}]},
        {**good, "blocks": [{"type": "rule", "Type": "section", "text": text}]},
        {**good, "blocks": [{"type": "rule", "text": {"text": text}}]},
        {**good, "blocks": [{"type": "rule", "text": json.dumps({"text": text})}]},
        {**good, "patient.name": text},
    ]
    for one in bad:
        (answer,) = await scene.run(("POST", target, one))
        assert answer.status == 400, one
    assert "canary" not in b"".join(scene.store.written).decode()


async def test_siblings_do_not_open_in_each_others_place() -> None:
    scene = Scene()
    target = "/north/Patient/1/notes"
    sent = {"text": "x", "patient": {"name": "canary-p"}, "doctor": {"name": "canary-d"}}
    await scene.run(("POST", target, sent))
    row = json.loads(scene.store.written[0])
    found = await scene.read(target, [row, {"patient": row["doctor"], "doctor": row["patient"]}])
    assert (found[0]["patient"], found[0]["doctor"]) == (sent["patient"], sent["doctor"])
    assert "canary" not in json.dumps(found[1])
