"""Packs the kit for readers in other languages: the pages, the cases, and what compares.

The cases are made of the frozen vectors, and of changes to them that must be refused.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .archive import write

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
HERE = Path(__file__).parent / "kit"
Object = dict[str, Any]
Case = tuple[str, Object, Object | None]
"""Its name, the task, and what the answer must have; None: it must be refused."""


def pack(folder: Path, version: str, at: int) -> Path:
    """Write the kit into the folder; all its times are `at`, in seconds."""
    name = f"sealyard-reader-kit-{version}"
    pages = (ROOT / "docs" / "reference" / one for one in ("wire-format.md", "keyring-file.md"))
    files = {one.name: one.read_bytes() for one in (*HERE.iterdir(), *pages) if one.is_file()}
    files["cases.json"] = (json.dumps({"steps": steps()}, ensure_ascii=False) + "\n").encode()
    files["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    return write(folder / f"{name}.tar.gz", name, files, at)


def steps() -> list[Object]:
    """Return the steps, in the order in which a reader is written, with their cases."""
    made = {
        "names, CONTEXT and SCOPE, names of records": [*_names()],
        "tokens": [*_tokens(), *_base64_tokens()],
        "tags behind tokens, and the equal form": [*_tags(), *_equal_tokens()],
        "sealed streams": [*_streams()],
        "the keyring's file": [*_keyrings()],
        "records of the store": [*_records()],
        "private keys": [*_private_keys()],
        "key packages, and tokens under their keys": [*_packages()],
        "receipts and audit lines": [*_receipts()],
    }
    return [
        {
            "about": about,
            "cases": [{"name": name, "task": task, "expected": it} for name, task, it in cases],
        }
        for about, cases in made.items()
    ]


def _told(name: str) -> Object:
    told: Object = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return told


def _task(do: str, vector: Object, *names: str, **more: object) -> Object:
    """Return a task that has these members of a vector."""
    return {"do": do, **{name: vector[name] for name in names if name in vector}, **more}


def _names() -> Iterator[Case]:
    told = _told("wire/contexts")
    key = told["keyring"]["name_key"]
    for one in told["vectors"]:
        name = json.dumps(one["parts"], ensure_ascii=False)
        encoded = {part: one[part] for part in ("context", "scope")}
        yield name, _task("context", one, "parts"), encoded
        for of in ("sessions", "packages"):
            yield (
                f"{of} of {name}",
                _task("name", one, "parts", of=of, name_key=key),
                {"name": one[of]},
            )
    told = _told("wire/records")
    for one in told["vectors"]:
        if "of" in one:
            keys = {} if "identity_key" in one else {"name_key": told["keyring"]["name_key"]}
            task = _task("name", one, "of", "parts", "id", "identity_key", **keys)
            yield f"record of {one['of']}", task, {"name": one["expected"]}


def _tokens() -> Iterator[Case]:
    told = _told("wire/tokens")
    around = {"keyring": told["keyring"], "now": told["now"]}
    for one in told["vectors"]:
        name, token = one["name"], one["token"]
        opened = {"plaintext": one["plaintext"], "cty": one["cty"]} if one["opens"] else None
        task = _task("token", one, "token", "parts", "key", "packaged", **around)
        yield name, task, opened
        yield f"{name}, with tags", {**task, "token": f"{token}~abcde~fghij~"}, opened
        yield f"{name}, with half a tag", {**task, "token": f"{token}~abcde~fghi"}, None


def _base64_tokens() -> Iterator[Case]:
    told = _told("base64")
    for one in told["must_open"]:
        name = f"base64 form: {one['name']}"
        kek = {"id": one["kek_id"], "number": one["kek_number"], "key": one["kek"]}
        ring = {"keks": [{**kek, "state": "primary"}], "name_key": "00" * 32}
        task = {"do": "token", "keyring": ring, "now": told["now"], "parts": one["context"]}
        plaintext = base64.b64encode(bytes.fromhex(one["plaintext_hex"])).decode()
        yield name, {**task, "token": one["token"]}, {"plaintext": plaintext}
        for failure in one["must_fail"]:
            changed = {"token": failure["token"], "parts": failure.get("context", one["context"])}
            yield f"{name}, {failure['name']}", {**task, **changed}, None


def _tags() -> Iterator[Case]:
    for one in _told("wire/tags")["vectors"]:
        names = ("secret", "generation", "parts", "field", "kind", "words")
        yield one["text"], _task("tags", one, *names), {"tags": one["tags"]}


def _equal_tokens() -> Iterator[Case]:
    for one in _told("wire/equal")["vectors"]:
        name = f"equal form: {one['token']}"
        opened = {"plaintext": one["plaintext"], "cty": one["cty"]} if one["opens"] else None
        yield name, _task("equal", one, "token", "parts", "secret", "generation"), opened
        ring: Object = {"keks": [], "name_key": "00" * 32}
        yield (
            f"{name}, as another",
            _task("token", one, "token", "parts", keyring=ring, now=0),
            None,
        )


def _streams() -> Iterator[Case]:
    told = _told("wire/streams")
    around = {"keyring": told["keyring"], "now": told["now"]}
    for one in told["vectors"]:
        opened = None
        if one["opens"]:
            opened = {name: one[name] for name in ("sha256", "size")}
            opened["mediaType"] = one["media type"]
        yield one["name"], _task("stream", one, "stream", "parts", **around), opened


def _keyrings() -> Iterator[Case]:
    told = _told("wire/keyrings")
    names = ("id", "number", "state", "key")
    opened = {name: told["keyring"][name] for name in ("name_key", "record_key")}
    opened["keks"] = [{name: one[name] for name in names} for one in told["keyring"]["keks"]]
    for one in told["vectors"]:
        task = _task("keyring", one, "file", "passphrase", "root_key")
        yield one["name"], task, opened
        yield "another passphrase", {**task, "passphrase": "another one"}, None
        for name, file in _changed_files(json.loads(one["file"])):
            yield name, {**task, "file": json.dumps(file)}, None


def _changed_files(file: Object) -> Iterator[tuple[str, Object]]:
    """Give files of a keyring that each differ in one thing from one that opens."""
    for name in file:
        yield f"without {name}", {one: file[one] for one in file if one != name}
    for name in ("id", "digest", "keyring", "mac"):
        at = len(file[name]) // 2
        other = "A" if file[name][at] != "A" else "B"
        yield f"another {name}", {**file, name: file[name][:at] + other + file[name][at + 1 :]}
    for number in (file["generation"] - 1, file["generation"] + 1):
        yield f"generation {number}", {**file, "generation": number}
    yield "a form of another version", {**file, "sealyard": 2}
    yield "a member that is not known", {**file, "note": "x"}
    yield "another head", {**file, "head": {**file["head"], "former": [[1, "A" * 22]]}}
    yield "a wrapping twice", {**file, "wrappings": file["wrappings"] * 2}
    (first, *others) = file["wrappings"]
    yield (
        "a wrapping made later",
        {
            **file,
            "wrappings": [{**first, "made": first["made"] + 1}, *others],
        },
    )


def _records() -> Iterator[Case]:
    told = _told("wire/records")
    for one in told["vectors"]:
        if "record" in one:
            names = ("record", "label", "name", "record_key")
            task = _task("record", one, *names, keyring=told["keyring"])
            yield one["label"], task, one["says"] if one["opens"] else None
            last = f"{int(one['record'][-2:], 16) ^ 1:02x}"
            changed = {"record": one["record"][:-2] + last}
            yield f"{one['label']}, changed", {**task, **changed}, None
            yield f"{one['label']}, of another name", {**task, "name": "A" * 22}, None


def _private_keys() -> Iterator[Case]:
    for one in _told("wire/private_keys")["vectors"]:
        task = _task("privateKey", one, "jwe", "passphrase", "record_key")
        yield one["name"], task, {"jwk": one["jwk"]}
        other = {"passphrase": "another one"} if "passphrase" in one else {"record_key": "00" * 32}
        yield f"{one['name']}, by another secret", {**task, **other}, None


def whole(key: Object) -> Object:
    """Return a private JWK with the members that make a thumbprint."""
    public = key["public"]
    return {**key["private"], **{name: public[name] for name in public.keys() - {"use", "kid"}}}


def of_package(one: Object, keys: dict[str, Object], now: int) -> Iterator[Case]:
    """Give the cases of a package; `keys` has the whole key of each participant."""
    opens, session_key = one.get("opens", True), one.get("key") or one["session key"]
    sender = keys[one["sender"]]
    public = {name: sender[name] for name in ("kty", "crv", "x", "n", "e") if name in sender}
    for name in one["recipients"]:
        task = _task("package", one, "package", "parts", now=now, mine=keys[name], sender=public)
        opened = {"key": session_key, "sid": one["sid"]} if opens else None
        yield f"{one['name']}, for {name}", task, opened
    if opens:
        task = _task("token", one, "token", now=now, key=session_key)
        task["parts"] = {**one["parts"], "field": one["field"]}
        plaintext = {"plaintext": one["plaintext"]}
        yield f"{one['name']}: token", {**task, "packaged": True}, plaintext
        yield f"{one['name']}: token of no package", {**task, "packaged": False}, None


def _packages() -> Iterator[Case]:
    told = _told("wire/packages")
    keys = {name: whole(one) for name, one in told["keys"].items()}
    for one in told["vectors"]:
        yield from of_package(one, keys, told["now"])


def _receipts() -> Iterator[Case]:
    for one in _told("wire/receipts")["vectors"]:
        if "lines" in one:
            task, told = _task("audit", one, "lines", "record_key"), {"events": one.get("events")}
        else:
            task, told = _task("receipt", one, "receipt", "record_key", "parts"), {}
        yield one["name"], task, told if one["opens"] else None
