"""Parameters that search what is sealed: refused by the rules that are made, with what would do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from proxy.config.load import parse
from proxy.config.settings import ListenerSettings
from proxy.core.explain.explanation import Explained, Wanted, explained_document
from proxy.description.searches import found_searches, searched_field
from proxy.explaining import trial
from tests.description.descriptions import MARKED, an_object, described, listener, read

CANARY = "CANARY-described"
TEXT = {"type": "string"}
ITEM = an_object(["content"], id={"type": "integer"}, content=MARKED, email=MARKED)
MANY = {"type": "array", "items": ITEM}
COUNT = {"type": "integer"}
LINK = {"type": "string", "format": "uri", "nullable": True}


def an_api(name: str, answer: dict[str, Any], schema: dict[str, Any] = TEXT) -> dict[str, Any]:
    """Return a description of messages that are listed, and found by a parameter."""
    document = described(ITEM)
    document["paths"]["/things"]["get"] = {
        "operationId": "list",
        "parameters": [
            {"name": "page", "in": "query", "schema": {"type": "integer"}},
            {"name": name, "in": "query", "schema": schema},
        ],
        "responses": {
            "200": {"description": "", "content": {"application/json": {"schema": answer}}}
        },
    }
    return document


PAGE_OF_DJANGO = an_object(count=COUNT, next=LINK, previous=LINK, results=MANY)
PAGE_OF_SPRING = an_object(_embedded=an_object(messages=MANY), page=an_object(totalElements=COUNT))
RESOURCES = an_object(data={"type": "array", "items": an_object(id=TEXT, attributes=ITEM)})
OPTIONAL = {"anyOf": [TEXT, {"type": "null"}], "title": "Q"}
APIS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "FastAPI": (an_api("q", MANY, OPTIONAL), "content", "words", "$"),
    "SearchFilter": (an_api("search", PAGE_OF_DJANGO), "content", "words", "$.results"),
    "django-filter": (
        an_api("content__icontains", PAGE_OF_DJANGO),
        "content",
        "words",
        "$.results",
    ),
    "equality": (an_api("email", PAGE_OF_DJANGO), "email", "exact", "$.results"),
    "Spring": (an_api("query", PAGE_OF_SPRING), "content", "words", "$._embedded.messages"),
    "Kinto": (an_api("like_content", an_object(data=MANY)), "content", "words", "$.data"),
    "JSON:API": (an_api("filter[content]", RESOURCES), "content", "words", "$.data"),
    "marked": (an_api("q", MANY, MARKED), "content", "words", "$"),
}


def named(rule: dict[str, Any], direction: str, action: str, field: str) -> dict[str, Any] | None:
    """Return the item of a field, in its long form, if a rule has one."""
    items = rule.get(direction, {}).get(action, [])
    for at, item in enumerate(items):
        select = item if isinstance(item, str) else item["select"]
        if select.endswith(f".{field}"):
            items[at] = made = dict(item) if isinstance(item, dict) else {"select": select}
            return made
    return None


def with_proposal(text: str, parameter: str, field: str) -> dict[str, Any]:
    """Return the configuration with what it proposes for a parameter written into it."""
    said = text[text.index(f"# query:{parameter} searches {field}") :].splitlines()
    fields, _, request, response = (one.strip(" #").partition(": ")[2] for one in said[1:5])
    made = yaml.safe_load(text)
    made["fields"] = yaml.safe_load(fields)
    for rule in made["listeners"][0]["rules"]:
        if (item := named(rule, "request", "encrypt", field)) is not None:
            item["index"] = "behind"
        if rule["name"] == "list":
            rule["query"].pop(parameter, None)
            rule["request"] = yaml.safe_load(request.rpartition("},")[0] + "}")
            rule["response"] |= yaml.safe_load(f"{{{response.split('`')[1]}}}")
    return dict(made)


def found_by(rules: ListenerSettings, parameter: str) -> Explained:
    """Return what happens to a search by these rules."""
    wanted = Wanted("GET", f"/things?{quote(parameter)}={CANARY}")
    told = asyncio.run(trial.explain(rules, wanted, trial.TrialKeys(trial.clock)))
    assert CANARY not in json.dumps(explained_document(told))
    assert CANARY.encode() not in told.sent
    return told


@pytest.mark.parametrize("api", APIS)
def test_what_searches_is_refused_and_what_is_proposed_finds(api: str, tmp_path: Path) -> None:
    document, field, match, items = APIS[api]
    parameter = document["paths"]["/things"]["get"]["parameters"][1]["name"]
    world = read(tmp_path, document)
    text = world.made().text
    uses = {one["name"]: one for one in yaml.safe_load(text)["listeners"][0]["rules"]}
    refused = {} if api == "marked" else {parameter: "refuse"}
    assert uses["list"]["query"] == {"page": "plain"} | refused
    refusal = found_by(listener(text), parameter).request.refusal
    assert (refusal is None) == (api == "marked")
    assert not any("in plaintext" in one for one in parse(text, Path("sealyard.yaml"), {}).warnings)
    assert world.compared(listener(text)) == []

    made = with_proposal(text, parameter, field)
    (rule,) = (one for one in made["listeners"][0]["rules"] if one["name"] == "list")
    assert rule["request"]["search"]["match"] == match
    assert rule["response"]["keep"]["items"] == items
    searching = listener(json.dumps(made))
    assert world.compared(searching) == []
    told = found_by(searching, parameter)
    assert [(one.field, one.action) for one in told.request.values] == [(field, "searched")]


def test_within_a_conversation_the_scope_is_narrow(tmp_path: Path) -> None:
    document, *_ = APIS["FastAPI"]
    own = {"x-sealyard": {"tenant": "const:clinic", "conversation": "header:x-room"}}
    text = read(tmp_path, document | own).made().text
    assert "#   fields: {content: {index: {words: {skip: [common-en]}}}}\n" in text
    text = read(tmp_path, document).made().text
    assert "words: {skip: [common-en], scope: tenant, accept_leakage: true}" in text


@pytest.mark.parametrize(
    ("parameter", "field"),
    [
        ("q", "subject"),
        ("Search", "subject"),
        ("content", "content"),
        ("filter[content]", "content"),
        ("content__icontains", "content"),
        ("like_content", "content"),
        ("content_type", None),
        ("sort", None),
        ("page", None),
    ],
)
def test_a_search_has_the_name_of_a_field_or_one_that_searches_have(
    parameter: str, field: str | None
) -> None:
    assert searched_field(parameter, ["subject", "content"]) == field
    assert searched_field(parameter, []) is None


def test_only_lists_that_are_read_are_searched() -> None:
    opened = [("$.content", None), ("$..note", None), ("body", None), ("$.all.*.text", "words")]
    assert found_searches("POST", ["q"], opened) == ()
    assert found_searches("GET", ["content", "note", "q"], opened[:3]) == ()
    (found,) = found_searches("GET", ["content", "note", "q"], opened)
    assert (found.parameter, found.field, found.items) == ("q", "words", "$.all")


def test_a_search_that_no_description_has_is_for_nothing(tmp_path: Path) -> None:
    document, field, *_ = APIS["FastAPI"]
    made = with_proposal(read(tmp_path, document).made().text, "q", field)
    listing = document["paths"]["/things"]["get"]
    without = {**listing, "parameters": listing["parameters"][:1]}
    paths = {"/things": {**document["paths"]["/things"], "get": without}}
    world = read(tmp_path, {**document, "paths": paths})
    assert [one.text for one in world.compared(listener(json.dumps(made)))] == [
        "request: query:q is in no message of its operations"
    ]
