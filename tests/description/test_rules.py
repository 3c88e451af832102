"""The rules that are made of a description, as they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.description.descriptions import MARKED, an_object, described, read


def rule(tmp_path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Return the first rule that is made, once it has been found to be right."""
    world = read(tmp_path, document)
    text = world.made().text
    assert world.compared(world.listener()) == []
    (found,) = [
        one for one in yaml.safe_load(text)["listeners"][0]["rules"] if one["name"] == "send"
    ]
    assert isinstance(found, dict)
    return found


def encrypted(tmp_path: Path, schema: dict[str, Any], media_type: str = "application/json") -> Any:  # noqa: ANN401 - YAML
    """Return what of a body is sealed."""
    return rule(tmp_path, described(schema, media_type, answers=False))["request"]["encrypt"]


ANYTHING = {"x-sensitive-data": True}


@pytest.mark.parametrize(
    ("schema", "items"),
    [
        (an_object(a=ANYTHING), ["$.a"]),
        (an_object([], a=ANYTHING), ["optional $.a"]),
        (an_object(a=MARKED), [{"select": "$.a", "string": True}]),
        (an_object(**{"a-b": ANYTHING}), ["$['a-b']"]),
        (
            an_object(a={**MARKED, "type": ["string", "null"]}),
            [{"select": "$.a", "optional": True, "string": True}],  # null counts as missing
        ),
        (an_object(a=an_object(b=ANYTHING)), ["$.a.b"]),
        (an_object(a={"type": "array", "items": an_object(b=ANYTHING)}), ["optional $.a.*.b"]),
        (an_object(a={"type": "array", "minItems": 1, "items": ANYTHING}), ["$.a.*"]),
        (an_object(a={"prefixItems": [{}, ANYTHING], "minItems": 2}), ["$.a[1]"]),
        (an_object(a={"additionalProperties": ANYTHING}), ["optional $.a.*"]),
        (an_object(a={"type": "object", "x-sensitive-data": True}), ["optional $.a.*"]),
        ({"allOf": [an_object(a=ANYTHING), an_object(b=ANYTHING)]}, ["$.a", "$.b"]),
        (
            {"oneOf": [an_object(a=ANYTHING), an_object(b=ANYTHING)]},
            ["optional $.a", "optional $.b"],
        ),
        ({"anyOf": [an_object(a=ANYTHING), {"type": "null"}]}, ["optional $.a"]),
        (
            an_object(
                a={**an_object(b={}, c={"x-sensitive-data": False}), "x-sensitive-data": True}
            ),
            ["$.a.b"],
        ),
        (
            an_object(a={**MARKED, "maxLength": 255, "minLength": 2}),
            [{"select": "$.a", "form": "short", "max_chars": 255, "min_chars": 2}],
        ),
        (
            an_object(a={**MARKED, "format": "byte"}),
            [{"select": "$.a", "form": "base64", "string": True}],
        ),
        (
            an_object(a={"type": "integer", **ANYTHING, "x-sealyard": {"accepts": "token"}}),
            ["$.a"],
        ),
        (an_object(a={**ANYTHING, "x-sealyard": {"field": "note"}}), ["$.a as note"]),
        (
            an_object(
                a={
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": an_object(b=ANYTHING),
                }
            ),
            ["$.a json:$.b"],
        ),
        ({"type": "array", "items": an_object(a=ANYTHING)}, ["optional $.*.a"]),
    ],
)
def test_selectors_lead_to_what_is_marked(
    tmp_path: Path, schema: dict[str, Any], items: list[Any]
) -> None:
    assert encrypted(tmp_path, schema) == items


def test_a_schema_that_contains_itself_is_sealed_at_any_depth(tmp_path: Path) -> None:
    tree = an_object(
        ["text"], text=ANYTHING, open={}, answers={"items": {"$ref": "#/components/schemas/Tree"}}
    )
    document = described(
        an_object(tree={"$ref": "#/components/schemas/Tree"}, n={"type": "integer"}),
        answers=False,
        components={"schemas": {"Tree": tree}},
    )

    assert rule(tmp_path, document)["request"]["encrypt"] == ["optional $.tree..text"]


@pytest.mark.parametrize(
    ("within", "records"), [((), "one-or-many"), (("a", "b"), "one-or-many $.a.b")]
)
def test_a_record_or_a_list_of_them_is_sealed_record_by_record(
    within: tuple[str, ...], records: str, tmp_path: Path
) -> None:
    record = an_object([], text=MARKED, notes={"type": "array", "items": ANYTHING})
    schema: dict[str, Any] = {"oneOf": [{"type": "array", "items": record}, record]}
    for name in reversed(within):
        schema = an_object(**{name: schema})

    request = rule(tmp_path, described(schema, answers=False))["request"]

    assert request["records"] == records
    assert request["encrypt"] == [
        {"select": "$.text", "optional": True, "string": True},
        "optional $.notes.*",
    ]


A = an_object(["a"], a=ANYTHING)
OPEN = an_object([], a=ANYTHING)


@pytest.mark.parametrize(
    ("one", "many", "needed"),
    [
        (A, A, True),
        (A, OPEN, False),
        (OPEN, A, False),
        (A, {"oneOf": [A, an_object(c={"type": "integer"})]}, False),
        ({**A, "type": ["object", "null"]}, A, False),
    ],
)
def test_what_every_record_has_is_needed_in_one_and_in_many(
    one: dict[str, Any], many: dict[str, Any], *, needed: bool, tmp_path: Path
) -> None:
    schema = {"oneOf": [one, {"type": "array", "items": many}]}

    request = rule(tmp_path, described(schema, answers=False))["request"]

    assert request["records"] == "one-or-many"
    assert request["encrypt"] == ["$.a" if needed else "optional $.a"]


def test_values_of_forms_are_named_by_their_place(tmp_path: Path) -> None:
    schema = an_object(["a"], a=ANYTHING, b={"type": "array", "items": ANYTHING}, c={})

    assert encrypted(tmp_path, schema, "application/x-www-form-urlencoded") == [
        "form:a",
        {"select": "form:b", "optional": True, "each": True},
    ]
    assert encrypted(tmp_path, schema, "multipart/form-data") == ["part:a", "optional part:b"]


def test_json_in_a_part_is_read(tmp_path: Path) -> None:
    schema = an_object(meta=an_object(note=ANYTHING), file={"format": "binary", **MARKED})

    assert encrypted(tmp_path, schema, "multipart/form-data") == ["part:meta $.note", "part:file"]


def test_plain_text_is_sealed_as_one(tmp_path: Path) -> None:
    assert encrypted(tmp_path, ANYTHING, "text/plain") == ["text"]


def test_parameters_are_sealed(tmp_path: Path) -> None:
    document = described(an_object(a=ANYTHING), answers=False)
    document["paths"]["/things"]["post"]["parameters"] = [
        {"name": "q", "in": "query", "schema": {"type": "array", "items": ANYTHING}},
        {"name": "X-Note", "in": "header", "required": True, "schema": MARKED},
        {"name": "page", "in": "query", "schema": {"type": "integer"}},
    ]

    assert rule(tmp_path, document)["request"]["encrypt"] == [
        {"select": "query:q", "optional": True, "each": True},
        "header:x-note",
        "$.a",
    ]


@pytest.mark.parametrize("name", ["filter[state]", "yes", "0", "m: n", "# c", "x}\n  y: {z", "*"])
def test_names_of_the_query_are_listed_as_they_are(tmp_path: Path, name: str) -> None:
    document = described(an_object(a=MARKED), answers=False)
    document["paths"]["/things"]["post"]["parameters"] = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
    ]
    assert rule(tmp_path, document)["query"] == {name: "plain"}


def test_media_types_with_other_marks_have_blocks_of_their_own(tmp_path: Path) -> None:
    document = described(an_object(a=ANYTHING), answers=False)
    content = document["paths"]["/things"]["post"]["requestBody"]["content"]
    content["application/vnd.more+json"] = {"schema": an_object(b=ANYTHING)}
    content["application/x-www-form-urlencoded"] = {"schema": an_object(a=ANYTHING)}
    content["text/plain"] = {"schema": {"type": "string"}}

    assert rule(tmp_path, document)["request"] == [
        {"type": ["application/json"], "encrypt": ["$.a"]},
        {"type": ["application/vnd.more+json"], "encrypt": ["$.b"]},
        {"encrypt": ["form:a"]},
        {"type": ["text/plain"]},
    ]


def test_answers_are_opened_by_their_status(tmp_path: Path) -> None:
    document = described(an_object(a=ANYTHING))
    responses = document["paths"]["/things"]["post"]["responses"]
    responses["202"] = responses["201"]
    responses["404"] = {"description": "Not there", "content": {"application/json": {}}}
    responses["default"] = {
        "description": "Other",
        "content": {"application/json": {"schema": an_object(b=ANYTHING)}},
    }

    assert rule(tmp_path, document)["response"] == [
        {"status": [201, 202], "decrypt": ["$.a"]},
        {"status": [404]},
        {"status": ["all"], "decrypt": ["$.b"]},
    ]


def test_what_is_more_special_comes_first(tmp_path: Path) -> None:
    document = described(an_object(a=ANYTHING))
    send = document["paths"]["/things"]["post"]
    other = described(an_object(b=ANYTHING))["paths"]["/things"]["post"]
    unmarked = {"responses": {"200": {"description": "Well"}}}
    document["paths"] = {
        "/things/{id}": {"post": send, "get": unmarked},
        "/things/mine": {"post": {**other, "operationId": "mine"}},
        "/things/none": {"post": unmarked},
        "/health": {"get": unmarked},
    }
    world = read(tmp_path, document)

    rules = yaml.safe_load(world.made().text)["listeners"][0]["rules"]

    assert world.compared(world.listener()) == []
    assert [(one["name"], one["match"]) for one in rules] == [
        ("mine", "POST /things/mine"),
        ("not marked 2", ["POST /things/none"]),
        ("send", "POST /things/{id}"),
        ("not marked 4", ["GET /health", "GET /things/{id}"]),
    ]


def test_what_x_sealyard_says_of_an_operation_is_said_by_its_rule(tmp_path: Path) -> None:
    document = described(
        an_object(a=ANYTHING, room={"type": "string"}),
        answers=False,
    )
    document["x-sealyard"] = {"tenant": "const:clinic"}
    document["paths"]["/things"]["post"]["x-sealyard"] = {"conversation": "$.room"}

    assert rule(tmp_path, document)["conversation"] == "$.room"


def test_files_that_are_referred_to_are_read(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "thing.yaml").write_text(
        "Thing:\n  properties:\n    note: {$ref: '#/Note'}\n"
        "Note: {type: string, x-sensitive-data: true}\n"
    )

    items = encrypted(tmp_path, {"$ref": "parts/thing.yaml#/Thing"})

    assert items == [{"select": "$.note", "optional": True, "string": True}]


def test_an_alias_and_json_with_tabs_are_read(tmp_path: Path) -> None:
    text = (
        "openapi: 3.1.0\npaths:\n  /a:\n    post: &post\n      operationId: send\n"
        "      requestBody: {content: {application/json: {schema: {properties: {n: "
        "{x-sensitive-data: true}}}}}}\n  /b:\n    post: *post\n"
    )
    assert read(tmp_path, text).made().text.count("optional $.n") == 2
    tabbed = json.dumps(described(an_object([], n=ANYTHING)), indent="\t")
    assert "optional $.n" in read(tmp_path, tabbed).made().text
