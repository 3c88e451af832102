"""Sealyard in front of an unchanged Kinto: what clients, Kinto and Sealyard's log get to see."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from proxy.demo.screen import search

from .compared import files_of, held, keep, printed, python_version
from .conftest import KINTO, Answer, Client, Scene, kinto

pytestmark = pytest.mark.acceptance

RECORDS = "/v1/buckets/clinic/collections/messages/records"
VOLATILE = {"date", "etag", "last-modified", "server", "accept-ranges", "via", "cache-control"}
"""What differs with the moment, or must: an opened answer has weak validators and is not stored."""
Stage = Callable[..., AbstractContextManager[Scene]]


@pytest.fixture(scope="module")
def scene(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with stage(tmp_path_factory.mktemp("kinto"), "kinto.yaml") as made:
        yield made


@pytest.fixture
def canary() -> str:
    """A text that stands nowhere else; the test it belongs to looks for it everywhere."""
    return f"canary {secrets.token_hex(8)} of Ada's"


def a_message(canary: str, **more: object) -> dict[str, object]:
    return {"data": {"senderId": "u-1", "subject": f"re {canary}", "content": canary, **more}}


def created(scene: Scene, canary: str, **more: object) -> Answer:
    answer = scene.through.ask("POST", RECORDS, a_message(canary, **more))
    assert answer.status == 201, answer.body
    return answer


def record_path(answer: Answer) -> str:
    return f"{RECORDS}/{answer.json['data']['id']}"


def everything_kinto_tells(client: Client) -> bytes:
    paths = (f"{RECORDS}?_limit=100", "/v1/buckets/clinic/history?_limit=100")
    return b"\n".join(client.ask("GET", path).body for path in paths)


def kept(scene: Scene) -> dict[str, bytes]:
    """Return all that Kinto tells and holds, and what both have written."""
    return {
        "what Kinto tells": everything_kinto_tells(scene.direct),
        "Kinto's memory": scene.kinto.memory(),
        **files_of(scene.kinto.log.parent),
    }


def assert_nowhere(canary: str, scene: Scene) -> None:
    assert search(canary, kept(scene)) == []


def test_the_search_finds_what_kinto_holds_without_the_sidecar(scene: Scene, canary: str) -> None:
    assert scene.direct.ask("POST", RECORDS, a_message(canary)).status == 201

    places = {
        "what Kinto tells": everything_kinto_tells(scene.direct),
        "Kinto's memory": scene.kinto.memory(),
    }
    assert {place for place, _ in search(canary, places)} == places.keys()


def test_a_created_record_comes_back_opened_and_is_held_sealed(scene: Scene, canary: str) -> None:
    answer = created(scene, canary)

    assert answer.json["data"]["content"] == canary
    held = scene.direct.ask("GET", record_path(answer)).json["data"]
    assert held["content"].startswith("eyJ0eXAiOiJzeTEi")
    assert held["subject"].startswith("eyJ0eXAiOiJzeTEi")
    assert held["senderId"] == "u-1"
    assert_nowhere(canary, scene)


def test_a_record_is_read_as_it_was_sent(scene: Scene, canary: str) -> None:
    answer = created(scene, canary, pinned=12345678901234567)

    got = scene.through.ask("GET", record_path(answer)).json["data"]

    assert (got["content"], got["subject"]) == (canary, f"re {canary}")
    assert got["pinned"] == 12345678901234567
    assert_nowhere(canary, scene)


def test_a_list_is_opened_row_by_row(scene: Scene, canary: str) -> None:
    for number in range(3):
        created(scene, f"{canary} {number}")

    rows = scene.through.ask("GET", f"{RECORDS}?_limit=100").json["data"]

    found = {row["content"] for row in rows}
    assert {f"{canary} {number}" for number in range(3)} <= found
    assert_nowhere(canary, scene)


def test_pages_lead_on_through_the_sidecar(scene: Scene, canary: str) -> None:
    for number in range(3):
        created(scene, f"{canary} {number}")

    contents: list[str] = []
    path: str | None = f"{RECORDS}?_limit=1&_sort=-last_modified"
    while path is not None and len(contents) < 3:
        page = scene.through.ask("GET", path)
        contents += [row["content"] for row in page.json["data"]]
        following = page.header("Next-Page")
        path = following.partition("kinto.test")[2] if following else None

    assert contents == [f"{canary} {number}" for number in (2, 1, 0)]
    assert_nowhere(canary, scene)


def test_an_update_with_if_match_meets_the_validator_that_the_client_has(
    scene: Scene, canary: str
) -> None:
    answer = created(scene, canary)
    path = record_path(answer)
    etag = scene.through.ask("GET", path).header("ETag")
    assert etag is not None
    assert etag.startswith("W/")  # the opened body is not the one that Kinto's tag is for

    changed = a_message(f"{canary} changed")
    fresh = scene.through.ask("PUT", path, changed, headers={"If-Match": etag})
    stale = scene.through.ask("PUT", path, changed, headers={"If-Match": etag})

    assert (fresh.status, stale.status) == (200, 412)
    assert scene.through.ask("GET", path).json["data"]["content"] == f"{canary} changed"
    assert_nowhere(canary, scene)


def test_a_patch_seals_what_it_changes(scene: Scene, canary: str) -> None:
    path = record_path(created(scene, canary))

    patch = {"data": {"content": f"{canary} patched"}}
    merge = {"Content-Type": "application/merge-patch+json"}
    json_patch = {"Content-Type": "application/json-patch+json"}
    operations = [{"op": "replace", "path": "/data/content", "value": canary}]

    assert scene.through.ask("PATCH", path, patch, headers=merge).status == 200
    refused = scene.through.ask("PATCH", path, operations, headers=json_patch)

    assert (refused.status, refused.header("Sealyard-Error")) == (415, "unsupported-body")
    assert scene.through.ask("GET", path).json["data"]["content"] == f"{canary} patched"
    assert_nowhere(canary, scene)


def test_a_batch_is_sealed_and_opened_request_by_request(scene: Scene, canary: str) -> None:
    batch = {
        "defaults": {"method": "POST", "path": RECORDS},
        "requests": [
            {"body": a_message(f"{canary} one")},
            {"body": a_message(f"{canary} two")},
            {"method": "GET", "path": "/"},
        ],
    }

    answer = scene.through.ask("POST", "/v1/batch", batch)

    responses = answer.json["responses"]
    assert [one["status"] for one in responses] == [201, 201, 200]
    contents = [one["body"]["data"]["content"] for one in responses[:2]]
    assert contents == [f"{canary} one", f"{canary} two"]
    assert_nowhere(canary, scene)


def test_a_deleted_record_is_gone(scene: Scene, canary: str) -> None:
    path = record_path(created(scene, canary))

    deleted = scene.through.ask("DELETE", path)

    assert deleted.json["data"]["deleted"] is True
    assert scene.through.ask("GET", path).status == 404
    assert_nowhere(canary, scene)


def test_an_error_that_quotes_the_value_is_opened_too(scene: Scene, canary: str) -> None:
    collection = "/v1/buckets/clinic/collections/strict"
    schema = {"type": "object", "properties": {"senderId": {"type": "string", "maxLength": 10}}}
    assert scene.through.ask("PUT", collection, {"data": {"schema": schema}}).status == 201
    held = scene.direct.ask("GET", record_path(created(scene, canary))).json["data"]["content"]

    refused = scene.through.ask(
        "POST", f"{collection}/records", {"data": {"senderId": held}}, headers={}
    )
    batch = {"requests": [{"method": "POST", "path": f"{collection}/records"}]}
    batch["requests"][0]["body"] = {"data": {"senderId": held}}  # type: ignore[assignment]  # any JSON
    quoted = scene.through.ask("POST", "/v1/batch", batch)

    assert refused.status == 400
    answer = quoted.json["responses"][0]
    assert answer["status"] == 400
    assert canary in json.dumps(answer["body"], ensure_ascii=False)
    assert held not in quoted.body.decode()
    assert_nowhere(canary, scene)


def test_authorization_passes_through(scene: Scene, canary: str) -> None:
    path = record_path(created(scene, canary))

    assert Client(scene.through.port, account="mallory").ask("GET", path).status == 401
    assert scene.through.ask("GET", "/v1/").json["user"]["id"] == "account:ada"
    assert_nowhere(canary, scene)


def test_if_none_match_saves_the_body(scene: Scene, canary: str) -> None:
    path = record_path(created(scene, canary))
    etag = scene.through.ask("GET", path).header("ETag")
    assert etag is not None

    unchanged = scene.through.ask("GET", path, headers={"If-None-Match": etag})

    assert (unchanged.status, unchanged.body) == (304, b"")
    assert unchanged.header("ETag") == etag
    assert_nowhere(canary, scene)


def test_plaintext_rows_from_before_stay_readable(scene: Scene, canary: str) -> None:
    # Not through the sidecar: this is what the backend held before there was one.
    old = scene.direct.ask("POST", RECORDS, a_message(canary))

    got = scene.through.ask("GET", record_path(old)).json["data"]

    assert got["content"] == canary


def test_search_parameters_on_sealed_fields_are_refused(scene: Scene, canary: str) -> None:
    for parameter in ("content", "like_content", "%63ontent"):
        refused = scene.through.ask("GET", f"{RECORDS}?{parameter}={canary.split()[1]}")
        assert (refused.status, refused.header("Sealyard-Error")) == (400, "unlisted-name")
    assert_nowhere(canary, scene)


def test_everything_unselected_is_the_same_byte_for_byte(
    stage: Stage, tmp_path: Path, canary: str
) -> None:
    """Two fresh Kintos, one exchange: with the sidecar and without it, the same answers."""
    bare_folder, sealed_folder = tmp_path / "bare", tmp_path / "sealed"
    bare_folder.mkdir()
    sealed_folder.mkdir()
    nested = {"plain: ['$.data": "plain: [$.data.nested.content, $.data.nested.z.*, '$.data"}
    with kinto(bare_folder) as bare, stage(sealed_folder, "kinto.yaml", nested) as scene:
        client = Client(bare.port)
        for path in ("/v1/buckets/clinic", "/v1/buckets/clinic/collections/messages"):
            assert client.ask("PUT", path).status == 201
        without = [comparable(one) for one in an_exchange(client, canary)]
        with_sidecar = [comparable(one) for one in an_exchange(scene.through, canary)]

        for sealed, plain in zip(with_sidecar, without, strict=True):
            assert sealed == plain
        assert canary.encode() in b"".join(body for _, _, body in without)
        assert_nowhere(canary, scene)


def test_the_client_of_its_makers_is_told_the_same(stage: Stage, tmp_path: Path) -> None:
    canaries = {way: f"canary{secrets.token_hex(8)}" for way in ("through", "direct")}
    with stage(tmp_path, "kinto.yaml") as scene:
        ports = {"through": scene.through.port, "direct": scene.direct.port}
        client = [
            str(KINTO.with_name("python")),
            "-P",
            str(Path(__file__).parent / "kinto_client.py"),
        ]
        told = {
            way: printed(client, f"http://127.0.0.1:{ports[way]}", canaries[way]) for way in ports
        }
        versions = [python_version(".venv-kinto", one) for one in ("kinto", "kinto_http")]
        names = "kinto", "Kinto {}, kinto-http {}".format(*versions)
        searched = "search in a text"
        keep(held(names, told["through"], told["direct"], canaries, kept(scene), other=[searched]))
        assert told["through"][searched]["told"][0] == 400


def an_exchange(client: Client, canary: str) -> list[Answer]:
    """Write and read with ids and times of our own, so that two runs can be compared."""
    answers = []
    for number in range(1, 4):
        message = (
            f'{{"data" : {{"content":"{canary} {number}", "pinned": 1e2,  "last_modified":'
            f' {1700000000000 + number}, "nested":{{"content":"plain","z":[1,2.50,null]}} }} }}'
        )
        path = f"{RECORDS}/00000000-0000-4000-8000-00000000000{number}"
        answers.append(client.ask("PUT", path, body=message.encode()))
    answers += [
        client.ask("GET", path),
        client.ask("GET", f"{RECORDS}?_sort=last_modified"),
        client.ask("GET", f"{RECORDS}?_limit=2&_sort=last_modified"),
        client.ask("GET", f"{RECORDS}?_fields=content"),
        client.ask("GET", f"{RECORDS}/none"),
        client.ask("POST", RECORDS, body=b'{"data": {"id": 5}}'),
    ]
    return answers


def comparable(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return an answer without what differs from one moment to the next, or must differ."""
    headers = [
        (key.lower(), value_without_chance(key.lower(), value))
        for key, value in answer.headers
        if key.lower() not in VOLATILE
    ]
    return answer.status, sorted(headers), answer.body


def value_without_chance(name: str, value: str) -> str:
    if name == "access-control-expose-headers":  # Kinto lists them in the order of a set
        return " ".join(sorted(value.split(", ")))
    return value.partition("_token=")[0].strip()  # page tokens hold a nonce


def test_a_token_of_one_conversation_does_not_open_in_another(
    stage: Stage, tmp_path: Path, canary: str
) -> None:
    with stage(tmp_path, "kinto-conversations.yaml") as scene:
        base = "/v1/buckets/clinic/collections"
        for name in ("ward-7", "ward-8"):
            assert scene.through.ask("PUT", f"{base}/{name}").status == 201
            records = f"{base}/{name}/records"
            sent = scene.through.ask("POST", records, a_message(f"{canary} {name}"))
            assert sent.json["data"]["content"] == f"{canary} {name}"
        held = scene.direct.ask("GET", f"{base}/ward-7/records").json["data"][0]
        moved = {"data": {"content": held["content"], "id": "moved"}}
        assert scene.direct.ask("PUT", f"{base}/ward-8/records/moved", moved).status == 201

        here = scene.through.ask("GET", f"{base}/ward-7/records")
        there = scene.through.ask("GET", f"{base}/ward-8/records?_sort=id")

        assert here.json["data"][0]["content"] == f"{canary} ward-7"
        contents = {row["id"]: row["content"] for row in there.json["data"]}
        assert contents["moved"] == held["content"]
        assert there.header("Sealyard-Kept") == "1"
        assert f"{canary} ward-8" in contents.values()
        assert_nowhere(canary, scene)
