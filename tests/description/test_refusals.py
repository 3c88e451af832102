"""What no rule can express is refused, with its place and with how to fix it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.description.descriptions import MARKED, an_object, described, mistakes_of, read

HEAD = """\
openapi: 3.1.0
paths:
  /things:
    post:
      operationId: send
      requestBody:
        content:
          application/json:
            schema:
"""
LINES = HEAD.count("\n")


def refusals(tmp_path: Path, schema: str, *, rest: str = "") -> list[str]:
    """Return what is refused of a description with a schema; its first line has the number 10."""
    indented = "".join(f"              {line}\n" for line in schema.splitlines())
    return mistakes_of(tmp_path, f"{HEAD}{indented}{rest}")


@pytest.mark.parametrize(
    ("schema", "refusal"),
    {
        "a number": (
            "type: object\nproperties:\n  n: {type: integer, x-sensitive-data: true}",
            (
                "12:20 the backend takes no token here: it must be of the type `integer`, and a"
                " token is a string; let the backend take a token and write"
                " `x-sealyard: {accepts: token}` there"
            ),
        ),
        "one of a list": (
            "properties: {n: {enum: [a, b], x-sensitive-data: true}}",
            "10:31 the backend takes no token here: it must be one of the values listed; let the",
        ),
        "a format": (
            "properties: {n: {type: string, format: date, x-sensitive-data: true}}",
            "10:31 the backend takes no token here: it must have the format `date`; let the",
        ),
        "a pattern": (
            "properties: {n: {pattern: '^[0-9]+$', x-sensitive-data: true}}",
            "10:31 the backend takes no token here: it must match `^[0-9]+$`; let the",
        ),
        "a limit": (
            "properties: {n: {type: string, maxLength: 50, x-sensitive-data: true}}",
            "10:31 no token fits into `maxLength: 50`; raise it in the backend",
        ),
        "a mark with a typing mistake": (
            "properties: {n: {type: string, x-sensitive-data: ja}}",
            "10:64 `x-sensitive-data` has no meaning that is known; write `true`, `false` or a",
        ),
        "a wish with a typing mistake": (
            "properties: {n: {x-sensitive-data: true, x-sealyard: {feild: m}}}",
            "10:76 `x-sealyard` of a value has no `feild`; did you mean `field`?",
        ),
        "a reference to nothing": (
            "properties: {n: {x-sensitive-data: true}, m: {$ref: '#/components/schemas/Mesage'}}",
            "10:67 `#/components/schemas/Mesage` leads nowhere: there is no `components`",
        ),
        "a reference to the network": (
            "properties: {n: {x-sensitive-data: true}, m: {$ref: 'https://example.org/m.yaml'}}",
            "10:67 `https://example.org/m.yaml` is not followed; save it beside the description",
        ),
        "a negation": (
            "not: {properties: {n: {x-sensitive-data: true}}}",
            "10:20 a mark inside `not` has no one place in a message; mark the property itself",
        ),
        "a schema of itself": (
            (
                "x-sensitive-data: true\nallOf:\n"
                " - $ref: '#/paths/~1things/post/requestBody/content/application~1json/schema'"
            ),
            "10:15 the schema consists of itself; take it from its `allOf`",
        ),
        "a value without a name": (
            "type: array\nitems: {type: string, x-sensitive-data: true}",
            "11:22 the value has no name to bind it to; write `x-sealyard: {field: NAME}` beside",
        ),
        "a map beside properties": (
            (
                "properties:\n  m:\n    properties: {kind: {type: string}}\n"
                "    additionalProperties: {x-sensitive-data: true}"
            ),
            "12:38 send: request: $.m.kind is sealed, and the description does not mark it",
        ),
        "variants that differ in a mark alone": (
            (
                "oneOf:\n  - properties: {n: {type: string, x-sensitive-data: true}}\n"
                "  - properties: {n: {type: string}}"
            ),
            "12:35 send: request: $.n is sealed, and the description does not mark it",
        ),
        "elements that must differ": (
            (
                "type: array\nuniqueItems: true\nitems:\n"
                "  properties: {n: {type: string, x-sensitive-data: true}}"
            ),
            "13:33 `uniqueItems` does not see which sealed values are equal: no two tokens are;",
        ),
        "a dynamic reference": (
            "properties: {n: {$dynamicRef: '#n', x-sensitive-data: true}}",
            "10:45 `$dynamicRef` is not followed; write `$ref`",
        ),
    }.values(),
)
def test_what_no_rule_can_say_is_refused_where_it_is_written(
    tmp_path: Path, schema: str, refusal: str
) -> None:
    found = refusals(tmp_path, schema)

    assert any(one.startswith(refusal) for one in found), found


def test_what_is_no_description_is_refused(tmp_path: Path) -> None:
    for text, refusal in {
        "openapi: 3.1.0\npaths: [": "neither YAML nor JSON",
        "swagger: '2.0'\npaths: {}": "1:10 not an OpenAPI 3 description; convert it",
        "a: 1\na: 2": "2:1 the key `a` is given twice; delete one",
        "openapi: 3.1.0\n<<: {a: 1}": "2:1 merge keys (`<<`) are not followed",
        "a: &a [*a]": "an alias leads to what holds it",
        "openapi: 3.1.0\npaths: {}": "1:1 nothing is marked; write",
        "": "is empty",
    }.items():
        found = mistakes_of(tmp_path, text)
        assert any(refusal in one for one in found), (text, found)


def test_a_file_that_is_not_there_is_named_where_it_is_referred_to(tmp_path: Path) -> None:
    found = refusals(tmp_path, "properties: {n: {x-sensitive-data: true}, m: {$ref: 'm.yaml#/a'}}")

    assert any("m.yaml` cannot be read: No such file" in one for one in found), found


def test_paths_that_take_the_same_requests_are_refused_unless_marked_alike(tmp_path: Path) -> None:
    document = described(an_object(a=MARKED), answers=False)
    send = document["paths"].pop("/things")
    open_one = described(an_object(a={"type": "string"}), answers=False)["paths"]["/things"]
    document["paths"] = {"/{kind}/all": send, "/things/{id}": open_one}

    found = mistakes_of(tmp_path, document)

    assert any("the same requests are for" in one for one in found), found
    document["paths"]["/things/{id}"] = send
    assert not any("the same requests" in one for one in mistakes_of(tmp_path, document))


def test_a_parameter_in_the_path_is_refused(tmp_path: Path) -> None:
    document = described(an_object(a=MARKED), answers=False)
    item = document["paths"].pop("/things")
    item["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": MARKED}]
    document["paths"]["/things/{id}"] = item

    found = mistakes_of(tmp_path, document)

    assert any("the parameter `id` is in the path, where nothing is sealed" in one for one in found)


def test_a_segment_that_is_a_parameter_in_part_is_refused(tmp_path: Path) -> None:
    document = described(an_object(a=MARKED), answers=False)
    document["paths"] = {"/things/{id}.json": document["paths"]["/things"]}

    found = mistakes_of(tmp_path, document)

    assert any("the segment `{id}.json` is a parameter in part" in one for one in found), found


def test_what_the_rules_of_a_configuration_refuse_has_the_place_of_its_operation(
    tmp_path: Path,
) -> None:
    document = described(an_object(a=MARKED), answers=False)
    operation = document["paths"]["/things"]["post"]
    operation["x-sealyard"] = {"conversation": "path:id"}

    found = mistakes_of(tmp_path, document)[0]

    assert found.startswith("9:12 send: ")
    assert "does not capture `path:id`" in found


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    number = {"type": "integer", "x-sensitive-data": True}

    found = mistakes_of(tmp_path, described(an_object(a=number, b=number), answers=False))

    assert sum("the backend takes no token here" in one for one in found) == 2


def test_a_base_path_in_a_variable_has_all_its_values(tmp_path: Path) -> None:
    servers = [
        {
            "url": "https://example.org/{version}/api",
            "variables": {"version": {"default": "v1", "enum": ["v1", "v2"]}},
        }
    ]
    document = described(an_object(a=MARKED), servers=servers)

    text = read(tmp_path, document).made().text

    assert "match: POST /v1/api/things" in text
    assert "match: POST /v2/api/things" in text
    assert "match: POST /x/things" in read(tmp_path, document, "/x/").made().text
    del servers[0]["variables"]
    assert "the variable `version` is not described" in mistakes_of(tmp_path, document)[0]


def test_elements_that_must_differ_may_be_tokens_where_the_backend_says_so(tmp_path: Path) -> None:
    value = "{type: string, x-sensitive-data: true, x-sealyard: {field: n, accepts: token}}"
    assert refusals(tmp_path, f"type: array\nuniqueItems: true\nitems: {value}") == []
