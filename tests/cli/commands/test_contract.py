"""`sealyard contract`: what it prints, and how it ends."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import invoke
from tests.description.descriptions import MARKED, an_object, described

CANARY = "CANARY-contract-cli"
BOUND = "defaults: {tenant: const:clinic, bind: [tenant, field]}"


def written(folder: Path, document: dict[str, Any]) -> Path:
    """Return a file with a description."""
    file = folder / "openapi.json"
    file.write_text(json.dumps(document, indent=1))
    return file


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    """Return a description, and write its rules beside it."""
    file = written(tmp_path, described(an_object(content=MARKED, id={"type": "integer"})))
    (tmp_path / "sealyard.yaml").write_text(invoke("contract", "make", str(file)).stdout)
    return file


def test_what_is_made_is_valid_and_is_the_same_each_time(messages: Path, tmp_path: Path) -> None:
    rules = tmp_path / "sealyard.yaml"

    assert "is valid" in invoke("validate", "--config", str(rules)).output
    assert invoke("contract", "make", str(messages)).stdout == rules.read_text()


def test_what_is_made_seals(messages: Path, tmp_path: Path) -> None:
    body = json.dumps({"content": CANARY, "id": 7})
    rules = str(tmp_path / "sealyard.yaml")

    told = invoke("explain", "POST", "/things", "-d", body, "--config", rules, "--json")

    (value,) = json.loads(told.stdout)["request"]["values"]
    assert value["action"] == "sealed"
    assert CANARY not in told.output


def test_addresses_and_paths_can_be_given(messages: Path) -> None:
    options = ("--base", "/v2", "--listen", "127.0.0.1:9", "--upstream", "http://10.0.0.1:80")

    text = invoke("contract", "make", str(messages), *options, "--unmatched", "pass").stdout

    assert "match: POST /v2/things" in text
    assert "listen: 127.0.0.1:9\n    upstream: http://10.0.0.1:80\n    unmatched: pass\n" in text


def test_nothing_is_printed_where_something_cannot_be_expressed(tmp_path: Path) -> None:
    number = {"type": "integer", "x-sensitive-data": True}
    file = written(tmp_path, described(an_object(n=number)))

    done = invoke("contract", "make", str(file), status=1)

    assert done.stdout == ""
    assert f"{file}:" in done.stderr
    assert "the backend takes no token here" in done.stderr


def test_a_check_without_a_difference_ends_well(messages: Path, tmp_path: Path) -> None:
    rules = str(tmp_path / "sealyard.yaml")

    done = invoke("contract", "check", str(messages), "--config", rules)

    assert done.stdout == f"{messages}: 1 passed, 0 failed\n"


def test_a_marked_parameter_that_is_searched_is_no_difference(tmp_path: Path) -> None:
    document = described(an_object(content=MARKED))
    answer = an_object(data={"type": "array", "items": an_object(content=MARKED)})
    document["paths"]["/things"]["get"] = {
        "operationId": "find",
        "parameters": [{"name": "q", "in": "query", "schema": MARKED}],
        "responses": {
            "200": {"description": "", "content": {"application/json": {"schema": answer}}}
        },
    }
    file, rules = written(tmp_path, document), tmp_path / "sealyard.yaml"
    made = invoke("contract", "make", str(file)).stdout
    sealed = "          encrypt:\n            - optional query:q\n          nothing: pass\n"
    assert sealed in made
    assert "      # query:q: sealed, it finds nothing; `search` sends a tag\n" in made
    search = "          search: [{select: 'query:q', field: content, match: words}]\n"
    answered = "            - optional $.data.*.content\n"
    assert answered in made
    made = made.replace(sealed, search).replace(
        answered, f"{answered}          keep: {{items: $.data, matching: q}}\n"
    )
    seal = "{select: $.content, string: true}"
    assert seal in made
    made = made.replace(seal, "{select: $.content, string: true, index: behind}")
    index = "fields: {content: {index: {words: {scope: tenant, accept_leakage: true}}}}\n"
    rules.write_text(f"{made}{index}".replace("    rules:\n", f"    {BOUND}\n    rules:\n"))
    done = invoke("contract", "check", str(file), "--config", str(rules))
    assert done.stdout == f"{file}: 2 passed, 0 failed\n"


@pytest.fixture
def drifted(messages: Path) -> Path:
    """Return the description after it has gone on."""
    schema = an_object(["id"], content=MARKED, note=MARKED, id={"type": "integer"})
    messages.write_text(json.dumps(described(schema), indent=1))
    return messages


def test_a_difference_is_told_with_its_line(drifted: Path, tmp_path: Path) -> None:
    rules = str(tmp_path / "sealyard.yaml")
    lines = [one.strip() for one in drifted.read_text().splitlines()]
    line = lines.index('"note": {') + 1

    text = invoke("contract", "check", str(drifted), "--config", rules, status=1).stdout

    assert f"{drifted}:{line}: FAILED send\n  request: $.note is marked, and no rule seals" in text
    assert "is refused: missing-value (missing-value) content: a value is needed." in text
    assert text.splitlines()[-1] == f"{drifted}: 0 passed, 3 failed"


def test_the_formats_are_those_of_sealyard_test(drifted: Path, tmp_path: Path) -> None:
    arguments = ("contract", "check", str(drifted), "--config", str(tmp_path / "sealyard.yaml"))

    github = invoke(*arguments, "--format", "github", status=1).stdout
    junit = ET.fromstring(invoke(*arguments, "--format", "junit", status=1).stdout)  # noqa: S314 - ours

    assert f"::error file={drifted},line=" in github
    assert (junit.get("tests"), junit.get("failures")) == ("3", "3")


def test_a_rule_for_nothing_is_told_with_its_line(messages: Path, tmp_path: Path) -> None:
    rules = tmp_path / "sealyard.yaml"
    text = rules.read_text() + (
        "\n      - name: old\n        match: POST /old\n        request: {encrypt: $.content}\n"
    )
    rules.write_text(text)
    line = text.splitlines().index("      - name: old") + 1

    told = invoke("contract", "check", str(messages), "--config", str(rules), status=1).stdout

    assert f"{rules}:{line}: FAILED rule old\n  no operation has requests for the rule\n" in told


def test_a_description_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    done = invoke("contract", "make", str(tmp_path / "none.yaml"), status=3)

    assert "cannot be read: No such file or directory" in done.stderr


def test_what_the_backend_sends_by_itself_is_noted(messages: Path) -> None:
    document = json.loads(messages.read_text())
    document["webhooks"] = {"sent": {"post": document["paths"]["/things"]["post"]}}
    messages.write_text(json.dumps(document))

    assert "is sent by the backend" in invoke("contract", "make", str(messages)).stderr
