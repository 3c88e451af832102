"""A real Kinto whose records are sealed over HTTP while clients write, and taken out again.

The job and the commands are those of docs/how-to/migrate.md.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from proxy.demo.screen import search
from tests.cli.conftest import invoke

from .compared import files_of
from .conftest import KINTO, PASSPHRASE, ROOT, Client, Scene, kinto, sidecar

pytestmark = pytest.mark.acceptance

RECORDS = "/v1/buckets/clinic/collections/messages/records"
HISTORY = "/v1/buckets/clinic/history"
PAGE = ROOT / "docs" / "how-to" / "migrate.md"
COUNT = 250
CANARY = f"canary-{secrets.token_hex(8)}"
AUTHORIZATION = "Basic " + base64.b64encode(b"ada:password-of-ada").decode()
SET = {
    "SEALYARD_PASSPHRASE": PASSPHRASE,
    "KINTO_AUTHORIZATION": AUTHORIZATION,
    "PYTHONPATH": str(ROOT),
}


def section(page: str, title: str) -> str:
    """Return what the page has between a heading and the next one of its rank."""
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


SECTION = section(PAGE.read_text("utf-8"), "Kinto over HTTP")
(JOB,) = fenced(SECTION, "yaml")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Run a Kinto that holds plain records, a sidecar in front of it, and the job of the page."""
    if not KINTO.exists():
        pytest.skip(f"{KINTO.relative_to(ROOT)} is missing: `./dev test` installs it")
    monkeypatch.chdir(tmp_path)
    for name, value in SET.items():
        monkeypatch.setenv(name, value)
    with (
        kinto(tmp_path, threads=1) as backend,
        sidecar(tmp_path, "kinto.yaml", backend.port) as front,
    ):
        scene = Scene(backend, front, Client(front.port))
        for path in ("/v1/buckets/clinic", "/v1/buckets/clinic/collections/messages"):
            assert scene.direct.ask("PUT", path).status == 201
        for at in range(COUNT):
            assert scene.direct.ask("PUT", f"{RECORDS}/r{at}", a_record(at)).status == 201
        (tmp_path / "kinto.yaml").write_text(JOB, "utf-8")
        yield scene


def a_record(at: int) -> dict[str, object]:
    data = {"content": f'{CANARY} "ü" \u2028 {at}', "senderId": f"u-{at}", "pinned": None}
    return {"data": data | ({"subject": f"re {CANARY}"} if at % 2 else {})}


def records(client: Client) -> dict[str, dict[str, object]]:
    """Return every record by its id, without the time at which it was written."""
    found: dict[str, dict[str, object]] = {}
    path: str | None = f"{RECORDS}?_limit=100&_sort=id"
    while path:
        answer = client.ask("GET", path)
        assert answer.status == 200, answer.body
        for one in answer.json["data"]:
            del one["last_modified"]
            found[one["id"]] = one
        path = (answer.header("Next-Page") or "").partition("kinto.test")[2]
    return found


@contextmanager
def writing(client: Client) -> Iterator[dict[str, str]]:
    """Change records one after the other through the sidecar; give what was last accepted."""
    accepted: dict[str, str] = {}
    ends = Event()

    def write() -> None:
        number = 0
        while not ends.wait(0.02):
            number += 1
            name = f"r{secrets.randbelow(COUNT)}"
            text = f"{CANARY} changed {number}"
            answer = client.ask("PATCH", f"{RECORDS}/{name}", {"data": {"content": text}})
            assert answer.status == 200, answer.body
            accepted[name] = text

    thread = Thread(target=write)
    thread.start()
    try:
        yield accepted
    finally:
        ends.set()
        thread.join()


def killed(verb: str, pages: int) -> int:
    """Run a verb in a process that kills itself when so many pages are written."""
    command = [sys.executable, "-P", "-m", "tests.migration.killed", "kinto.yaml", verb, str(pages)]
    return subprocess.run(command, env=os.environ | SET, check=False, timeout=300).returncode


def test_beside_a_writer_and_under_kills_nothing_is_lost_plain_or_doubled(
    scene: Scene, tmp_path: Path
) -> None:
    before = records(scene.direct)
    assert len(before) == COUNT
    with writing(scene.through) as accepted:
        for pages in (1, 1):
            assert killed("seal", pages) == -signal.SIGKILL
        while invoke_any("migrate", "seal", "kinto.yaml"):
            pass
    expected = {
        name: one | ({"content": accepted[name]} if name in accepted else {})
        for name, one in before.items()
    }
    assert len(accepted) > 10
    invoke("migrate", "verify", "kinto.yaml", "--report", "proof.jws")
    held = records(scene.direct)

    assert {name: kinds(one) for name, one in held.items()} == {name: {"sealed"} for name in before}
    assert records(scene.through) == expected
    Path("state").unlink(missing_ok=True)  # of the killed sealing, if it ran for a second
    for pages in (1, 2):
        assert killed("open", pages) == -signal.SIGKILL
    invoke("migrate", "open", "kinto.yaml")
    assert json.dumps(records(scene.direct)) == json.dumps(expected)
    said = {name: text for name, text in files_of(tmp_path).items() if name != "kinto.log"}
    assert search(CANARY, said) == []
    assert search(AUTHORIZATION.split()[1], said) == []


def kinds(record: dict[str, object]) -> set[str]:
    texts = [str(record[one]) for one in ("content", "subject") if one in record]
    return {"sealed" if one.startswith("eyJ0eXAiOiJzeTEi") else "plain" for one in texts}


def invoke_any(*arguments: str) -> int:
    """Return the exit status of a command, 0 or 1."""
    command = [sys.executable, "-P", "-m", "proxy", *arguments]
    status = subprocess.run(command, env=os.environ | SET, check=False, timeout=300).returncode
    assert status in {0, 1}
    return status


def test_every_command_of_the_page_does_what_it_says(scene: Scene) -> None:
    before = records(scene.direct)
    for command, expected in commands():
        program, *arguments = shlex.split(command)
        if program == "export":
            continue
        if program == "curl":
            assert scene.direct.ask("DELETE", HISTORY).status == 200
            continue
        assert program == "sealyard"
        told = [without_kek(one) for one in invoke(*arguments).stdout.splitlines()]
        assert [one for one in expected if without_kek(one) not in told] == []
        if arguments[1] == "verify":
            held = scene.direct.ask("GET", f"{RECORDS}?_limit=999").body
            assert search(CANARY, {"what Kinto tells": held}) == []
            assert records(scene.through) == before

    assert records(scene.direct) == before


def without_kek(line: str) -> str:
    return re.sub(r" under \w+", "", line)


def commands() -> list[tuple[str, list[str]]]:
    """Return the commands of the section, each with the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(fenced(SECTION, "console")).replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


def test_what_was_sealed_is_what_the_sidecar_would_have_sent(scene: Scene) -> None:
    invoke("migrate", "seal", "kinto.yaml")
    ours = scene.direct.ask("GET", f"{RECORDS}/r1").json["data"]
    sent = scene.through.ask("PUT", f"{RECORDS}/r1", a_record(1))
    assert sent.status == 200
    theirs = scene.direct.ask("GET", f"{RECORDS}/r1").json["data"]

    assert [masked(ours[one]) for one in ("content", "subject")] == [
        masked(theirs[one]) for one in ("content", "subject")
    ]
    assert sent.json["data"]["content"] == a_record(1)["data"]["content"]  # type: ignore[index]  # made above


def masked(text: str) -> tuple[object, list[int]]:
    """Return the header of a token without its session, and how long its parts are."""
    head, *rest = text.split(".")
    header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    return sorted(header), [len(one) for one in (head, *rest)]
