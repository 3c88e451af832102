"""A reader in JavaScript, written from the page on the wire format, opens all that stands there."""

from __future__ import annotations

import base64
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.archive.opened import RELEASES

from .conftest import HERE, needs_node, node

VECTORS: Final = HERE.parent / "vectors" / "wire"
ARCHIVE: Final = HERE.parent / "archive"
Task = dict[str, Any]

pytestmark = [pytest.mark.interop, needs_node]


def read(tasks: list[Task]) -> list[dict[str, Any]]:
    """Return what the reader makes of each task."""
    answers = node("wire_reader.mjs", asked=tasks)
    broken = [one for one in answers if one.get("refused") == "broken"]
    assert not broken, broken[0]
    assert len(answers) == len(tasks)
    return answers


def vectors(name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    assert told["vectors"]
    return told


def check(pairs: Iterator[tuple[Task, dict[str, Any] | None]]) -> None:
    """Ask for every task; None stands for what must be refused."""
    asked = list(pairs)
    for (task, expected), answer in zip(asked, read([one for one, _ in asked]), strict=True):
        if expected is None:
            assert "refused" in answer, task
        else:
            assert expected == {name: answer.get(name) for name in expected}, (task, answer)


def test_names_are_encoded_as_the_page_says() -> None:
    told = vectors("contexts")
    key = told["keyring"]["name_key"]

    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in told["vectors"]:
            encoded = {name: one[name] for name in ("context", "scope")}
            yield {"do": "context", "parts": one["parts"]}, encoded
            for of in ("sessions", "packages"):
                task = {"do": "name", "of": of, "name_key": key, "parts": one["parts"]}
                yield task, {"name": one[of]}

    check(pairs())


def test_tags_are_made_as_the_page_says() -> None:
    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in vectors("tags")["vectors"]:
            yield {"do": "tags", **one}, {"tags": one["tags"]}

    check(pairs())


def test_tokens_open_and_what_is_none_is_refused() -> None:
    told = vectors("tokens")

    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in told["vectors"]:
            task = {"do": "token", "keyring": told["keyring"], "now": told["now"], **one}
            opened = {"plaintext": one["plaintext"], "cty": one["cty"]}
            yield task, opened if one["opens"] else None
            tagged = {**task, "token": f"{one['token']}~abcde~fghij~"}
            yield tagged, opened if one["opens"] else None
            yield {**task, "token": f"{one['token']}~abcde~fghi"}, None

    check(pairs())


def test_tokens_in_equal_form_open_and_no_others() -> None:
    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in vectors("equal")["vectors"]:
            opened = {"plaintext": one["plaintext"], "cty": one["cty"]}
            yield {"do": "equal", **one}, opened if one["opens"] else None
            yield {**one, "do": "token", "keyring": {"keks": []}, "now": 0}, None

    check(pairs())


def test_tokens_in_base64_form_open() -> None:
    told = json.loads((VECTORS.parent / "base64.json").read_text(encoding="utf-8"))

    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in told["must_open"]:
            kek = {"id": one["kek_id"], "number": one["kek_number"], "key": one["kek"]}
            ring = {"keks": [{**kek, "state": "primary"}], "name_key": "00" * 32}
            task = {"do": "token", "keyring": ring, "now": told["now"]}
            plaintext = {"plaintext": b64encode(bytes.fromhex(one["plaintext_hex"])).decode()}
            yield {**task, "token": one["token"], "parts": one["context"]}, plaintext
            for failure in one["must_fail"]:
                parts = failure.get("context", one["context"])
                yield {**task, "token": failure["token"], "parts": parts}, None

    check(pairs())


def test_streams_open_whole_or_not_at_all() -> None:
    told = vectors("streams")

    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in told["vectors"]:
            task = {"do": "stream", "keyring": told["keyring"], "now": told["now"], **one}
            opened = {"sha256": one["sha256"], "size": one["size"], "mediaType": one["media type"]}
            yield task, opened if one["opens"] else None

    check(pairs())


def of_packages(
    found: list[dict[str, Any]], keys: dict[str, Any], now: int
) -> Iterator[tuple[Task, dict[str, Any] | None]]:
    for one in found:
        opens = one.get("opens", True)
        key = one.get("key") or one["session key"]
        for name in one["recipients"]:
            told = {"package": one["package"], "parts": one["parts"], "now": now}
            mine, sender = keys[name], keys[one["sender"]]
            task = {"do": "package", **told, "mine": mine, "sender": sender}
            yield task, {"key": key, "sid": one["sid"]} if opens else None
        if opens:
            parts = {**one["parts"], "field": one["field"]}
            task = {"do": "token", "token": one["token"], "parts": parts, "now": now}
            yield {**task, "key": key, "packaged": True}, {"plaintext": one["plaintext"]}
            yield {**task, "key": key, "packaged": False}, None


def test_packages_open_for_their_recipients() -> None:
    told = vectors("packages")
    keys = {name: whole(one["public"], one["private"]) for name, one in told["keys"].items()}
    check(of_packages(told["vectors"], keys, told["now"]))


def whole(public: dict[str, Any], private: dict[str, Any]) -> dict[str, Any]:
    return {**private, **{name: public[name] for name in public if name not in {"use", "kid"}}}


def test_private_keys_and_keyrings_open() -> None:
    told = vectors("private_keys")["vectors"]
    for one, answer in zip(told, read([{"do": "privateKey", **one} for one in told]), strict=True):
        assert one["jwk"].items() <= answer["jwk"].items()
    keyrings = vectors("keyrings")
    (opened,) = read([{"do": "keyring", **one} for one in keyrings["vectors"]])
    assert_keyring(opened, keyrings["keyring"])
    (refused,) = read([{"do": "keyring", **keyrings["vectors"][0], "passphrase": "another one"}])
    assert "refused" in refused


def assert_keyring(opened: dict[str, Any], expected: dict[str, Any]) -> None:
    names = ("id", "number", "state", "key")
    found = [{name: one[name] for name in names} for one in opened["keks"]]
    assert found == [{name: one[name] for name in names} for one in expected["keks"]]
    assert opened["name_key"] == expected["name_key"]
    assert opened["record_key"] == expected["record_key"]


def test_records_say_what_they_said() -> None:
    told = vectors("records")

    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in told["vectors"]:
            if "of" in one:
                task = {"do": "name", "name_key": told["keyring"]["name_key"], **one}
                yield task, {"name": one["expected"]}
            else:
                task = {"do": "record", "keyring": told["keyring"], **one}
                yield task, one["says"] if one["opens"] else None

    check(pairs())


def test_receipts_and_audit_lines_verify() -> None:
    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in vectors("receipts")["vectors"]:
            if "lines" in one:
                yield {"do": "audit", **one}, {"events": one["events"]} if one["opens"] else None
            else:
                yield {"do": "receipt", **one}, {} if one["opens"] else None

    check(pairs())


# ---- what a release wrote


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Path:
    return ARCHIVE / str(request.param)


def manifest(release: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((release / "manifest.json").read_text(encoding="utf-8"))
    return told


def keyring_of(release: Path) -> dict[str, Any]:
    (item,) = (
        one for one in manifest(release)["items"]["keyrings"] if one["file"] == "keyring.jwe"
    )
    names = {"name_key": item["name key"], "record_key": item["record key"]}
    return {"keks": item["keks"], "revocations": item["revocations"], **names}


def test_keyrings_of_a_release_open(release: Path) -> None:
    for item in manifest(release)["items"]["keyrings"]:
        task = {"do": "keyring", "file": (release / item["file"]).read_text()}
        secret = (release / item["opened by"]).read_text().strip()
        task |= {"root_key" if item["root"] == "file" else "passphrase": secret}
        (opened,) = read([task])
        names = {"name_key": item["name key"], "record_key": item["record key"]}
        assert_keyring(opened, {"keks": item["keks"], **names})


def test_tokens_of_a_release_open(release: Path) -> None:
    told, keyring = manifest(release), keyring_of(release)

    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in json.loads((release / told["items"]["tokens"]).read_text(encoding="utf-8")):
            if one.get("keyring", "keyring.jwe") != "keyring.jwe":
                continue
            task = {"do": "token", "token": one["token"], "parts": one["parts"]}
            task |= {"now": told["made"], "keyring": keyring, "key": one.get("session key")}
            yield task, None if one["reason"] else {"plaintext": one["plaintext"]}

    check(pairs())


def test_streams_of_a_release_open(release: Path) -> None:
    told, keyring = manifest(release), keyring_of(release)

    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in told["items"]["streams"]:
            stream = base64.b64encode((release / one["file"]).read_bytes()).decode()
            task = {"do": "stream", "stream": stream, "parts": one["parts"], "keyring": keyring}
            opened = {"sha256": one["sha256"], "size": one["size"], "mediaType": one["media type"]}
            yield {**task, "now": told["made"]}, opened

    check(pairs())


def test_packages_of_a_release_open(release: Path) -> None:
    told = manifest(release)
    items = told["items"]["packages"]
    found = json.loads((release / items["packages"]).read_text(encoding="utf-8"))
    private = json.loads((release / items["private keys"]).read_text(encoding="utf-8"))
    tasks = [
        {"do": "privateKey", "jwe": one["private"], "passphrase": items["passphrase"]}
        for one in private.values()
    ]
    opened = read(tasks)
    keys = {
        name: whole(one["public"], answer["jwk"])
        for (name, one), answer in zip(private.items(), opened, strict=True)
    }
    check(of_packages(found, keys, told["made"]))
