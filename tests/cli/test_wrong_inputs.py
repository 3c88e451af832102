"""What wrong inputs of every kind are answered with, frozen: a changed message is seen and read.

Each case of wrong_inputs.yaml is an input, the exit code or status, and the exact answer. `place`,
`cause` and `cure` are the parts of it that say where the mistake is, what it is and what to do.

`SEALYARD_FREEZE=1 pytest tests/cli/test_wrong_inputs.py` writes the answers anew; a part that is no
longer in its answer is looked for in the new one. Read the difference.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner

from proxy.admin.server import application
from proxy.cli import main
from tests.admin.conftest import TOKEN, Everything, a_guard
from tests.cli.conftest import invoke
from tests.factories import Ear

FROZEN: Final = Path(__file__).with_name("wrong_inputs.yaml")
CONFIGURATION: Final = """\
version: 1
keys:
  keyring: {file: keyring.jwe, key: {file: root.key}}
admin: {listen: "127.0.0.1:9901", token: {file: admin.token}}
fields: {content: {max_chars: 1000}}
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    defaults: {tenant: const:clinic, bind: [tenant, field]}
    rules:
      - name: send
        match: POST /messages
        request: {encrypt: $.content}
      - name: read
        match: GET /messages/{id}
        response: {decrypt: $.content}
      - name: rest
        match: POST,PUT,PATCH /**
        request: reject
"""
NAMES: Final = ("--tenant", "clinic", "--conversation", "c1")
PARTS: Final = ("place", "cause", "cure")

Case = dict[str, Any]


def _cases() -> list[Case]:
    return list(yaml.safe_load(FROZEN.read_text("utf-8")))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with keys, and a token that they sealed."""
    folder = tmp_path_factory.mktemp("home")
    invoke("init", str(folder))
    (folder / "sealyard.yaml").unlink()
    keyring = ("--keyring", str(folder / "keyring.jwe"), "--root-file", str(folder / "root.key"))
    sealed = invoke("encrypt", "hello", *NAMES, *keyring).stdout.strip()
    (folder / "token").write_text(sealed)
    (folder / "kek").write_text(
        json.loads(invoke("keys", "list", "--json", *keyring).stdout)["keks"][0]["id"]
    )
    return folder


class Place:
    """A folder with keys and a configuration, in which commands are given wrong inputs."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self._token = (home / "token").read_text()
        self._kek = (home / "kek").read_text()
        self._hidden = {self._token: "TOKEN", self._kek: "KEK", str(folder): "FOLDER"}
        for name in ("keyring.jwe", "root.key", "admin.token"):
            shutil.copy2(home / name, folder)
        (folder / "sealyard.yaml").write_text(CONFIGURATION)

    def answer(self, case: Case) -> tuple[int, str]:
        """Return the exit code or status of a case, and what is said."""
        if "admin" in case:
            return asyncio.run(_called(case["admin"], case.get("body")))
        for name, text in case.get("files", {}).items():
            file = self.folder / name
            file.write_text(text)
            file.chmod(0o600)
        words = case.get("command", ["validate"])
        if "old" in case:
            assert case["old"] in CONFIGURATION, case["name"]
            changed = CONFIGURATION.replace(case["old"], case["new"], 1)
            (self.folder / "sealyard.yaml").write_text(changed)
        words = [word.replace("TOKEN", self._token).replace("KEK", self._kek) for word in words]
        ended = CliRunner().invoke(
            main,
            words,
            prog_name="sealyard",
            input=case.get("stdin"),
            env=case.get("environ"),
        )
        return ended.exit_code, self._shown(ended.output)

    def _shown(self, text: str) -> str:
        for real, name in self._hidden.items():
            text = text.replace(real, name)
        return "\n".join(line.rstrip() for line in text.splitlines() if line)


async def _called(call: str, body: str | None) -> tuple[int, str]:
    method, _, path = call.partition(" ")
    app = application(*a_guard("admin", Everything(), Ear()))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with TestClient(TestServer(app)) as client:
        data = None if body is None else body.encode()
        async with client.request(method, path, data=data, headers=headers) as answer:
            told = json.loads(await answer.text())
            return answer.status, told["detail"]


# --- what a message has ---------------------------------------------------------------------------

_PATH: Final = r"(?:listeners|keys|admin|fields|audit|health|source|tables|collections|cases)\b"
_PLACE: Final = (
    rf"[\w./-]+:\d+(?::\d+)?(?: {_PATH}[^ ]*)?",
    r"annotation [\w./-]+(?= is|:)",
    r"label [\w./-]+",
    r"Pod \w+",
    r"line \d+ of a document",
    r"environment variable \w+",
    r"(?:FOLDER)?/[\w./-]+(?=:| already)",
    r"(?<=error: )keys\.store",
    r"\b(?:TOKEN|VALUE)\b",
    r"(?<=: )[\w.]+(?=: )",
    r"--[a-z-]+",
    r"'[^']+'",
    r"`[^`]+`",
    r"[\w.-]+(?=:)",
)
_CURE: Final = (
    r"(?<=; ).+",
    r"(?<=\. )Did you mean .+",
    r"(?<= \().+(?=\))",
    r"(?<=: )(?:one of|must be|give|write|declare|\d+ to) ?.+",
    r"(?:needs|give only) .+",
    r"Try 'sealyard .+",
)


def found_in(says: str) -> dict[str, str]:
    """Return place, cause and cure of a message as they are usually written."""
    told = says.partition("\nError: ")[2] or says
    found = next((found for one in _PLACE if (found := re.search(one, told))), None)
    place = found[0] if found else ""
    rest = told[found.end() :].partition("\n")[0] if found else told
    cures = ((text, one) for text in (rest, told, says) for one in _CURE)
    cure = next((match[0] for text, one in cures if (match := re.search(one, text))), "")
    cause = rest.partition(cure)[0] if cure else rest
    if not cause.strip(" :;(.,'") and found:
        cause = told[: found.start()].rpartition("\n")[2].removeprefix("error: ")
    return {"place": place, "cause": cause.strip(" :;(.,'"), "cure": cure}


def frozen(cases: list[Case]) -> Iterator[Case]:
    """Yield cases with parts that are in their answers."""
    for case in cases:
        usual = found_in(case["says"])
        parts = {
            part: case[part] if case.get(part) and case[part] in case["says"] else usual[part]
            for part in PARTS
        }
        yield {
            **{k: v for k, v in case.items() if k not in (*PARTS, "says")},
            **parts,
            "says": case["says"],
        }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def _written(cases: list[Case]) -> str:
    blocks = (
        yaml.dump([one], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
        for one in cases
    )
    return "\n".join(blocks)


def test_wrong_inputs_are_answered_as_they_were(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    cases, made = _cases(), []
    for number, case in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        status, says = Place(folder, home).answer(case)
        made.append({**case, "status": int(status), "says": says})
    if os.environ.get("SEALYARD_FREEZE"):
        FROZEN.write_text(_written(list(frozen(made))))
        cases = _cases()
    for old, new in zip(cases, made, strict=True):
        assert (old["name"], old["status"], old["says"]) == (
            new["name"],
            new["status"],
            new["says"],
        )


def test_each_answer_says_where_what_and_what_to_do() -> None:
    faults = [f"{case['name']}: {fault}" for case in _cases() if (fault := _fault(case))]

    assert faults == []


def _fault(case: Case) -> str:
    """Return what an answer lacks."""
    parts = [str(case.get(part) or "") for part in PARTS]
    for name, part in zip(PARTS, parts, strict=True):
        if not part or part not in case["says"]:
            return f"no {name} in {case['says']}"
    if len(set(parts)) < len(parts):
        return "one text is two parts"
    if "hunter2" in case["says"]:
        return "a secret is told"
    if case["status"] == 0 and not case["says"].startswith("warning: "):
        return "it is accepted"
    return ""


def test_there_are_cases_of_every_kind() -> None:
    cases = _cases()
    kinds = Counter(_kind(one) for one in cases)

    assert len({one["name"] for one in cases}) == len(cases) >= 120
    assert {"admin", "configuration", "contract", "inject", "keys", "migrate", "test"} <= set(kinds)


def _kind(case: Mapping[str, Any]) -> str:
    if "admin" in case:
        return "admin"
    return "configuration" if "old" in case and "command" not in case else str(case["command"][0])
