"""Kinto over HTTP: records that are sealed, proven and taken out by the rules of its example."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from proxy.core.crypto import token
from tests.acceptance.conftest import KINTO, ROOT, Client, kinto

from .clinic import letter
from .measure import Bench

PROGRAM: Final = KINTO
_COLLECTION: Final = "/buckets/clinic/collections/messages"
_BATCH: Final = 25
_PAGE: Final = 100
_JOB: Final = f"""\
version: 1
source:
  http:
    config: sealyard.yaml
    headers:
      Authorization: {{env: KINTO_AUTHORIZATION}}
collections:
  - collection: messages
    list: /v1{_COLLECTION}/records?_sort=id&_limit={_PAGE}
    items: $.data[*]
    next: {{link: Next-Page}}
    total: Total-Objects
    write: PATCH /v1{_COLLECTION}/records/{{id}}
    body: $.data
    members: [content, subject]
    guard: {{if_match: '"{{last_modified}}"'}}
"""


def in_kinto(folder: Path, records: int) -> dict[str, Any]:
    """Seal so many records with two values each, prove it, and take everything out."""
    with kinto(folder, plugin="") as backend:
        client = Client(backend.port)
        _fill(client, records)
        before = _held(client)
        _configure(folder, backend.port)
        bench = Bench(folder, _JOB, KINTO_AUTHORIZATION=client.authorization)
        planned = bench.planned()
        sealed = bench.run("migrate", "seal", "job.yaml")
        proven = bench.run("migrate", "verify", "job.yaml")
        plain = sum(not _is_sealed(one) for one in _held(client).values())
        opened = bench.run("migrate", "open", "job.yaml")
        after = _held(client)
    same = sum(after.get(name) == one for name, one in before.items())
    return {
        "rows": len(before),
        "planned_seconds": planned,
        "seal": asdict(sealed),
        "verify": asdict(proven),
        "open": asdict(opened),
        "plain": plain,
        "not_byte_equal": max(len(before), len(after)) - same,
    }


def _configure(folder: Path, port: int) -> None:
    text = (ROOT / "config" / "examples" / "kinto.yaml").read_text("utf-8")
    upstream = "http://127.0.0.1:8888"
    if upstream not in text:
        raise ValueError(f"the example has another upstream than {upstream}")
    text = text.replace(upstream, f"http://127.0.0.1:{port}")
    (folder / "sealyard.yaml").write_text(text, "utf-8")


def _fill(client: Client, records: int) -> None:
    for path in (_COLLECTION.partition("/collections")[0], _COLLECTION):
        _require(client.ask("PUT", f"/v1{path}").status)
    for first in range(0, records, _BATCH):
        requests = [
            {"path": f"{_COLLECTION}/records/r{at:06}", "body": {"data": _record(at)}}
            for at in range(first, min(first + _BATCH, records))
        ]
        answer = client.ask(
            "POST", "/v1/batch", {"defaults": {"method": "PUT"}, "requests": requests}
        )
        for one in answer.json["responses"]:
            _require(one["status"])


def _record(at: int) -> dict[str, object]:
    return {"content": letter(at), "subject": f"canary {at}", "sender": f"u{at}"}


def _require(status: int) -> None:
    if status not in {200, 201}:
        raise ValueError(f"Kinto answered with status {status}")


def _held(client: Client) -> dict[str, str]:
    """Return every record by its id, as JSON without the time at which it was written."""
    return {one["id"]: json.dumps(one) for one in _listed(client)}


def _listed(client: Client) -> Iterator[dict[str, Any]]:
    path = f"/v1{_COLLECTION}/records?_sort=id&_limit={_PAGE}"
    while path:
        answer = client.ask("GET", path)
        for one in answer.json["data"]:
            del one["last_modified"]
            yield one
        path = (answer.header("Next-Page") or "").partition("kinto.test")[2]


def _is_sealed(record: str) -> bool:
    said = json.loads(record)
    return all(token.has_prefix(said[one].encode()) for one in ("content", "subject"))
