import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from proxy.config.schema.json_schema import SECTIONS, schema
from tests.config.builders import ROOT, SMALL, changed

VALIDATOR = jsonschema.Draft202012Validator(schema())


def _complaints(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))]


def test_it_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    json.dumps(schema())


@pytest.mark.parametrize(
    "path",
    sorted(one for one in (ROOT / "config").rglob("*.yaml") if one.parent.name != "cases"),
    ids=lambda path: path.name,
)
def test_what_loads_is_valid(path: Path) -> None:
    assert _complaints(path.read_text()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("unmatched: pass", "unmatchd: pass"),
        ("unmatched: pass", "unmatched: pas"),
        ("const:t", "{member: [a]}"),
        ("passphrase: {env: P}", "passphrase: hunter2"),
        ("passphrase: {env: P}", "passphrase: {env: P, file: p}"),
        (", passphrase: {env: P}", ""),
        ("{encrypt: $.content}", "{encrypt: $.content, when: $.a}"),
        ("{encrypt: $.content}", "rejct"),
        ("{decrypt: $.content}", "reject"),
        ("version: 1", "version: 2"),
        ("version: 1\n", ""),
        ("name: send", "name: send\n        mode: watch"),
        ("listeners:", "  sessions: {ttl: 25h}\nlisteners:"),
        ("listeners:", "  sessions: {revocation_max_age: 999ms}\nlisteners:"),
        ("unmatched: pass", "unmatched: pass\n    limits: {body: 16MB}"),
    ],
)
def test_what_does_not_load_is_not_valid(old: str, new: str) -> None:
    assert _complaints(changed(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("const:t", "{members: ['jwt-unverified:sub', {first: [$.a, path:id]}]}"),
        ("const:t", "[const:t, path:id]"),
        ("encrypt: $.content", "encrypt: optional $.content, nothing: refuse"),
        ("encrypt: $.content", "encrypt: {select: $.content, string: true, min_chars: 2}"),
        ("encrypt: $.content", "encrypt: {select: $.content, max_chars: '${env:MOST}'}"),
        ("name: send", "name: send\n        mode: permissive until 2027-03-31"),
        ("decrypt: $.content", "decrypt: $.content, status: [2xx, 404]"),
        ("unmatched: pass", "unmatched: ${env:UNMATCHED:-pass}\n    limits: {body: 16MiB}"),
    ],
)
def test_what_the_loader_takes_is_valid(old: str, new: str) -> None:
    assert _complaints(changed(old, new)) == []


def test_every_key_of_the_sections_is_in_the_schema() -> None:
    made = schema()
    definitions = made["$defs"]
    assert isinstance(definitions, dict)
    for one in SECTIONS:
        shape = made if one.name == "file" else definitions[one.name]
        assert [key.name for key in one.keys] == [*_properties(shape)]


def _properties(shape: object) -> list[str]:
    assert isinstance(shape, dict)
    return list(shape["properties"])


def test_every_reference_leads_somewhere() -> None:
    made = schema()
    definitions = made["$defs"]
    assert isinstance(definitions, dict)
    text = json.dumps(made)
    named = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}
    assert named == set(definitions)


def test_the_small_configuration_is_valid() -> None:
    assert _complaints(SMALL) == []
