"""config/examples/fhir.yaml before a FHIR server in small: versions, searches, transactions."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.scenarios.examples import SEALED, Scene, example

FHIR = {"Content-Type": "application/fhir+json"}
AT = "/fhir/Communication"
Resource = dict[str, Any]


def fhir(body: object, status: int = 200, **headers: str) -> web.Response:
    kind = "application/fhir+json"
    return web.json_response(body, status=status, content_type=kind, headers=headers)


@dataclass
class Records:
    """Keeps every version of each Communication, and answers as FHIR R4 has it."""

    versions: dict[str, list[Resource]] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(AT, self.create),
            web.get(AT, self.search),
            web.post(AT + "/_search", self.search),
            web.get(AT + "/_history", self.history),
            web.put(AT + "/{id}", self.update),
            web.get(AT + "/{id}", self.read),
            web.get(AT + "/{id}/_history", self.history),
            web.get(AT + "/{id}/_history/{version}", self.read),
            web.post("/fhir", self.transaction),
            web.post("/fhir/Patient", self.patient),
        ]

    def keep(self, resource: Resource, name: str = "") -> Resource:
        name = name or f"com{next(self.numbers)}"
        older = self.versions.setdefault(name, [])
        kept = {**resource, "id": name, "meta": {"versionId": str(len(older) + 1)}}
        older.append(kept)
        return kept

    async def create(self, request: web.Request) -> web.Response:
        kept = self.keep(await request.json())
        return fhir(kept, 201, Location=f"{AT}/{kept['id']}/_history/1", ETag='W/"1"')

    async def update(self, request: web.Request) -> web.Response:
        return fhir(self.keep(await request.json(), request.match_info["id"]))

    async def read(self, request: web.Request) -> web.Response:
        found = self.versions.get(request.match_info["id"])
        if found is None:
            issue = {"severity": "error", "code": "not-found"}
            return fhir({"resourceType": "OperationOutcome", "issue": [issue]}, 404)
        return fhir(found[int(request.match_info.get("version", 0)) - 1])

    async def search(self, request: web.Request) -> web.Response:
        asked = request.query if request.method == "GET" else await request.post()
        newest = [versions[-1] for versions in self.versions.values()]
        subject = asked.get("subject")
        found = [one for one in newest if subject in {None, one["subject"]["reference"]}]
        return fhir(self.bundle("searchset", found))

    async def history(self, request: web.Request) -> web.Response:
        wanted = [request.match_info["id"]] if "id" in request.match_info else list(self.versions)
        found = [one for name in wanted for one in self.versions[name][::-1]]
        return fhir(self.bundle("history", found))

    async def transaction(self, request: web.Request) -> web.Response:
        entries = []
        for entry in (await request.json())["entry"]:
            kept = self.keep(entry["resource"])
            entries.append({"response": {"status": "201", "location": f"{AT}/{kept['id']}"}})
            if request.headers.get("Prefer") == "return=representation":
                entries[-1]["resource"] = kept
        return fhir({"resourceType": "Bundle", "type": "transaction-response", "entry": entries})

    async def patient(self, request: web.Request) -> web.Response:
        return fhir(await request.json(), 201)

    @staticmethod
    def bundle(kind: str, found: Sequence[Resource]) -> Resource:
        entries = [{"fullUrl": f"{AT}/{one['id']}", "resource": one} for one in found]
        return {"resourceType": "Bundle", "type": kind, "total": len(found), "entry": entries}


@dataclass
class Clinic:
    scene: Scene
    records: Records

    async def create(self, resource: Resource) -> Resource:
        kept: Resource = await self.scene.ask("POST", AT, said(resource), headers=FHIR)
        return kept

    def communication(self, patient: str = "ada", *more: Resource) -> Resource:
        return {
            "resourceType": "Communication",
            "status": "completed",
            "subject": {"reference": f"Patient/{patient}"},
            "payload": [{"contentString": self.scene.canary}, *more],
        }


@pytest.fixture
async def clinic(tmp_path: Path) -> AsyncIterator[Clinic]:
    records = Records()
    async with example(tmp_path, "fhir.yaml", records.routes()) as scene:
        yield Clinic(scene, records)


def said(resource: object) -> bytes:
    return json.dumps(resource, indent=2).encode()


def texts(bundle: Resource) -> list[str]:
    return [entry["resource"]["payload"][0]["contentString"] for entry in bundle["entry"]]


async def test_what_is_written_is_held_sealed_and_answered_opened(clinic: Clinic) -> None:
    attachment = {"contentAttachment": {"url": "Binary/1"}}
    one = clinic.communication("ada", attachment, {"contentString": clinic.scene.canary})

    kept = await clinic.create(one)

    assert kept == {**one, "id": "com1", "meta": {"versionId": "1"}}
    assert clinic.scene.opened() == said(one)
    assert len(SEALED.findall(clinic.scene.kept.bodies[-1])) == 2
    changed = {**kept, "status": "stopped"}
    updated = await clinic.scene.ask("PUT", f"{AT}/com1", said(changed), headers=FHIR)
    assert updated == {**changed, "meta": {"versionId": "2"}}
    read = [await clinic.scene.ask("GET", f"{AT}/com1{more}") for more in ("", "/_history/1")]
    assert read == [updated, kept]


async def test_bundles_of_several_patients_are_opened_entry_by_entry(clinic: Clinic) -> None:
    for patient in ("ada", "bob", "ada"):
        await clinic.create(clinic.communication(patient))
    canary = clinic.scene.canary

    everything = await clinic.scene.ask("GET", AT)
    assert (everything["total"], texts(everything)) == (3, [canary] * 3)
    posted = await clinic.scene.ask("POST", f"{AT}/_search", None, data={"subject": "Patient/ada"})
    assert (posted["type"], texts(posted)) == ("searchset", [canary] * 2)
    for path in (f"{AT}/_history", f"{AT}/com1/_history"):
        history = await clinic.scene.ask("GET", path)
        assert (history["type"], set(texts(history))) == ("history", {canary})
    assert SEALED.match(texts(await clinic.scene.stored(AT))[0].encode())


@pytest.mark.parametrize("prefer", ["return=minimal", "return=representation"])
async def test_a_transaction_is_sealed_and_its_answer_opened(clinic: Clinic, prefer: str) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": clinic.communication(patient),
                "request": {"method": "POST", "url": "Communication"},
            }
            for patient in ("ada", "bob")
        ],
    }
    more = {**FHIR, "Prefer": prefer}

    answer = await clinic.scene.ask("POST", "/fhir", said(bundle), headers=more)

    assert clinic.scene.opened() == said(bundle)
    assert [entry["response"]["status"] for entry in answer["entry"]] == ["201", "201"]
    if prefer.endswith("representation"):
        assert texts(answer) == [clinic.scene.canary] * 2
    assert texts(await clinic.scene.ask("GET", AT)) == [clinic.scene.canary] * 2


async def test_a_text_that_was_put_into_another_patients_record_does_not_open(
    clinic: Clinic,
) -> None:
    await clinic.create(clinic.communication("ada"))
    stolen = copy.deepcopy(clinic.records.versions["com1"][0])
    stolen["subject"]["reference"] = "Patient/eve"
    clinic.records.keep(stolen)

    assert await clinic.scene.status("GET", f"{AT}/com2") == (502, 1)
    assert await clinic.scene.status("GET", AT) == (502, 1)
    assert (await clinic.scene.ask("GET", f"{AT}/com1"))["id"] == "com1"


async def test_what_no_rule_names_and_outcomes_pass_as_they_are(clinic: Clinic) -> None:
    patient = b'{ "resourceType" :"Patient",  "name":[{"family":"Lovelace"}] }'
    await clinic.scene.ask("POST", "/fhir/Patient", patient, headers=FHIR)
    assert clinic.scene.kept.bodies[-1] == patient
    async with clinic.scene.client.get(f"{AT}/nobody") as answer:
        assert (answer.status, (await answer.json(content_type=None))["resourceType"]) == (
            404,
            "OperationOutcome",
        )


async def test_what_would_look_into_ciphertext_or_past_the_rules_is_refused(
    clinic: Clinic,
) -> None:
    canary = clinic.scene.canary
    for name in ("_content", "_text"):
        assert await clinic.scene.status("GET", f"{AT}?{name}={canary}") == (400, 0)
        form = {name: canary}
        assert await clinic.scene.status("POST", f"{AT}/_search", data=form) == (400, 0)
    patch = said([{"op": "replace", "path": "/payload/0/contentString", "value": canary}])
    headers = {"Content-Type": "application/json-patch+json"}
    assert await clinic.scene.status("PATCH", f"{AT}/com1", data=patch, headers=headers) == (403, 0)
    xml = {"Content-Type": "application/fhir+xml"}
    body = f"<Communication>{canary}</Communication>".encode()
    assert await clinic.scene.status("POST", AT, data=body, headers=xml) == (415, 0)
