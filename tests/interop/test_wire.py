"""Readers in two other languages, written from the page on the wire format, open all of it.

They are held to the kit that a release has for a third one, by what that kit compares with.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.archive.opened import RELEASES
from tools.release import reader_kit

from .conftest import HERE, NODE

ARCHIVE: Final = HERE.parent / "archive"
GO: Final = shutil.which("go")
Task = dict[str, Any]
Reader = Sequence[str]
"""The command that starts it."""

pytestmark = pytest.mark.interop


@pytest.fixture(scope="session")
def in_go(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the reader in Go, built."""
    built = tmp_path_factory.mktemp("go") / "reader"
    environ = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
    command = (str(GO), "build", "-o", str(built), ".")
    subprocess.run(command, cwd=HERE / "go_reader", env=environ, check=True, timeout=300)  # noqa: S603 - the machine's go
    return str(built)


@pytest.fixture(params=["go", "javascript"])
def reader(request: pytest.FixtureRequest) -> Reader:
    if request.param == "go":
        if GO is None:
            pytest.skip("go is not installed")
        return [request.getfixturevalue("in_go")]
    if NODE is None:
        pytest.skip("node is not installed")
    return [NODE, str(HERE / "wire_reader.mjs")]


def ran(command: Reader, asked: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own readers
        command, input=asked, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the kit, unpacked as its user does."""
    folder = tmp_path_factory.mktemp("kit")
    with tarfile.open(reader_kit.pack(folder, "0", 0)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "sealyard-reader-kit-0"


def test_a_reader_answers_every_case_of_the_kit(reader: Reader, kit: Path) -> None:
    told = ran([sys.executable, "-I", str(kit / "check.py"), *reader])

    assert told.returncode == 0, told.stdout + told.stderr
    lines = told.stdout.splitlines()
    assert len(lines) == len(reader_kit.steps()) >= 9
    assert all(line.endswith(" right") for line in lines)


@pytest.mark.parametrize("answer", ['{"refused": "all"}', "{}", '{"broken": "x"}', "null"])
def test_the_kit_finds_readers_that_give_one_answer_to_all(answer: str, kit: Path) -> None:
    script = (
        f"import json, sys; print(json.dumps([json.loads({answer!r})] * len(json.load(sys.stdin))))"
    )
    told = ran([sys.executable, "-I", str(kit / "check.py"), sys.executable, "-c", script])

    assert told.returncode == 1
    for line in told.stdout.splitlines():
        if line[0] != " ":
            _, counts = line.rsplit(": ", 1)
            right, _, whole, _ = counts.split()
            assert int(right) < int(whole)


def test_the_kit_has_what_must_open_and_what_must_not_and_is_packed_alike(tmp_path: Path) -> None:
    cases = [one for step in reader_kit.steps() for one in step["cases"]]
    refused = [one for one in cases if one["expected"] is None]
    assert len(refused) > 200
    assert len(cases) - len(refused) > 200
    asked = {one["task"]["do"] for one in cases}
    assert asked == {"context", "name", "token", "tags", "equal", "stream", "keyring", "record"} | {
        *("privateKey", "package", "receipt", "audit")
    }
    assert len({reader_kit.pack(tmp_path, "1", 1).read_bytes() for _ in range(2)}) == 1


def read(reader: Reader, tasks: list[Task]) -> list[dict[str, Any]]:
    """Return what the reader makes of each task."""
    told = ran(reader, json.dumps(tasks))
    answers: list[dict[str, Any]] = json.loads(told.stdout)
    broken = [one for one in answers if "broken" in one]
    assert not broken, broken[0]
    assert len(answers) == len(tasks)
    return answers


def check(reader: Reader, pairs: Iterator[tuple[Task, dict[str, Any] | None]]) -> None:
    """Ask for every task; None stands for what must be refused."""
    asked = list(pairs)
    answers = read(reader, [one for one, _ in asked])
    for (task, expected), answer in zip(asked, answers, strict=True):
        if expected is None:
            assert "refused" in answer, task
        else:
            assert expected == {name: answer.get(name) for name in expected}, (task, answer)


def assert_keyring(opened: dict[str, Any], expected: dict[str, Any]) -> None:
    names = ("id", "number", "created", "state", "key")
    found = [{name: one[name] for name in names} for one in opened["keks"]]
    assert found == [{name: one[name] for name in names} for one in expected["keks"]]
    assert opened["name_key"] == expected["name_key"]
    assert opened["record_key"] == expected["record_key"]


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


def test_keyrings_of_a_release_open(reader: Reader, release: Path) -> None:
    for item in manifest(release)["items"]["keyrings"]:
        task = {"do": "keyring", "file": (release / item["file"]).read_text()}
        secret = (release / item["opened by"]).read_text().strip()
        task |= {"root_key" if item["root"] == "file" else "passphrase": secret}
        (opened,) = read(reader, [task])
        names = {"name_key": item["name key"], "record_key": item["record key"]}
        assert_keyring(opened, {"keks": item["keks"], **names})


def test_tokens_of_a_release_open(reader: Reader, release: Path) -> None:
    told, keyring = manifest(release), keyring_of(release)

    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in json.loads((release / told["items"]["tokens"]).read_text(encoding="utf-8")):
            if one.get("keyring", "keyring.jwe") != "keyring.jwe":
                continue
            task = {"do": "token", "token": one["token"], "parts": one["parts"]}
            task |= {"now": told["made"], "keyring": keyring, "key": one.get("session key")}
            if one["form"] != "equal":
                yield task, None if one["reason"] else {"plaintext": one["plaintext"]}
                continue
            yield task, None
            if not one["reason"]:  # which a revocation is, and those are in no index secret
                known = {name: one[name] for name in ("secret", "generation", "token", "parts")}
                opened = {"plaintext": one["plaintext"], "cty": one.get("cty")}
                yield {"do": "equal", **known}, opened

    check(reader, pairs())


def test_streams_of_a_release_open(reader: Reader, release: Path) -> None:
    told, keyring = manifest(release), keyring_of(release)

    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in told["items"]["streams"]:
            stream = base64.b64encode((release / one["file"]).read_bytes()).decode()
            task = {"do": "stream", "stream": stream, "parts": one["parts"], "keyring": keyring}
            opened = {"sha256": one["sha256"], "size": one["size"], "mediaType": one["media type"]}
            yield {**task, "now": told["made"]}, opened

    check(reader, pairs())


def test_packages_of_a_release_open(reader: Reader, release: Path) -> None:
    told = manifest(release)
    items = told["items"]["packages"]
    found = json.loads((release / items["packages"]).read_text(encoding="utf-8"))
    private = json.loads((release / items["private keys"]).read_text(encoding="utf-8"))
    tasks = [
        {"do": "privateKey", "jwe": one["private"], "passphrase": items["passphrase"]}
        for one in private.values()
    ]
    opened = read(reader, tasks)
    keys = {
        name: reader_kit.whole({"public": one["public"], "private": answer["jwk"]})
        for (name, one), answer in zip(private.items(), opened, strict=True)
    }

    def pairs() -> Iterator[tuple[Task, dict[str, Any] | None]]:
        for one in found:
            for _, task, expected in reader_kit.of_package({"name": "", **one}, keys, told["made"]):
                yield task, expected

    check(reader, pairs())
