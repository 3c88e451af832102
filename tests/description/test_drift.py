"""Rules that were made from a description, and each way in which the description may go on."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.description.descriptions import MARKED, an_object, listener, read

JSON = "application/json"
REF = {"$ref": "#/components/schemas/Message"}
BASE: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Messages", "version": "1"},
    "servers": [{"url": "https://api.example.org/v1"}],
    "x-sealyard": {"tenant": "const:clinic", "bind": ["tenant", "field"]},
    "paths": {
        "/messages": {
            "post": {
                "operationId": "send",
                "parameters": [
                    {"name": "notify", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "X-Note", "in": "header", "schema": {"type": "string"}},
                ],
                "requestBody": {"required": True, "content": {JSON: {"schema": REF}}},
                "responses": {
                    "201": {"description": "Sent", "content": {JSON: {"schema": REF}}},
                    "400": {
                        "description": "Refused",
                        "content": {JSON: {"schema": an_object(reason={"type": "string"})}},
                    },
                },
            },
            "get": {
                "operationId": "list",
                "responses": {
                    "200": {
                        "description": "All",
                        "content": {
                            JSON: {"schema": an_object(items={"type": "array", "items": REF})}
                        },
                    }
                },
            },
        },
        "/messages/{id}": {
            "put": {
                "operationId": "edit",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                "requestBody": {"content": {JSON: {"schema": REF}}},
                "responses": {"204": {"description": "Edited"}},
            }
        },
        "/messages/search": {
            "post": {
                "operationId": "search",
                "requestBody": {"content": {JSON: {"schema": an_object(query={"type": "string"})}}},
                "responses": {"200": {"description": "Found"}},
            }
        },
        "/files": {
            "post": {
                "operationId": "upload",
                "requestBody": {
                    "content": {
                        "multipart/form-data": {
                            "schema": an_object(
                                ["file"],
                                file={"type": "string", "format": "binary", **MARKED},
                                title={"type": "string"},
                            )
                        }
                    }
                },
                "responses": {"200": {"description": "Kept"}},
            }
        },
        "/health": {"get": {"responses": {"200": {"description": "Well"}}}},
    },
    "components": {
        "schemas": {
            "Message": an_object(
                ["content"],
                id={"type": "integer", "readOnly": True},
                content={**MARKED, "minLength": 1, "maxLength": 2000},
                subject={**MARKED, "maxLength": 255},
                priority={"type": "string", "enum": ["low", "high"]},
            )
        }
    },
}
Change = Callable[[dict[str, Any]], None]


def message(document: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a message."""
    found: dict[str, Any] = document["components"]["schemas"]["Message"]["properties"]
    return found


def send(document: dict[str, Any]) -> dict[str, Any]:
    """Return the operation that sends a message."""
    found: dict[str, Any] = document["paths"]["/messages"]["post"]
    return found


def a_new_mark(one: dict[str, Any]) -> None:
    message(one)["diagnosis"] = MARKED


def a_property_that_no_rule_lists(one: dict[str, Any]) -> None:
    message(one)["color"] = {"type": "string"}


def a_mark_on_what_was_open(one: dict[str, Any]) -> None:
    send(one)["parameters"][0]["schema"] = MARKED


def a_mark_on_a_header(one: dict[str, Any]) -> None:
    send(one)["parameters"][1]["schema"] = MARKED


def a_mark_in_what_was_unmarked(one: dict[str, Any]) -> None:
    body = one["paths"]["/messages/search"]["post"]["requestBody"]["content"][JSON]
    body["schema"]["properties"]["query"] = MARKED


def a_mark_in_an_error(one: dict[str, Any]) -> None:
    send(one)["responses"]["400"]["content"][JSON]["schema"]["properties"]["reason"] = MARKED


def a_mark_taken_away(one: dict[str, Any]) -> None:
    message(one)["subject"] = {"type": "string"}


def a_renamed_property(one: dict[str, Any]) -> None:
    message(one)["body"] = message(one).pop("content")
    one["components"]["schemas"]["Message"]["required"] = ["body"]


def a_list_around_the_message(one: dict[str, Any]) -> None:
    send(one)["requestBody"]["content"][JSON]["schema"] = {"type": "array", "items": REF}


def an_object_around_the_message(one: dict[str, Any]) -> None:
    send(one)["requestBody"]["content"][JSON]["schema"] = an_object(message=REF)


def a_new_variant(one: dict[str, Any]) -> None:
    schema = {"oneOf": [REF, an_object(["kind"], kind={"const": "image"}, caption=MARKED)]}
    send(one)["requestBody"]["content"][JSON]["schema"] = schema


def what_was_needed_is_optional(one: dict[str, Any]) -> None:
    one["components"]["schemas"]["Message"]["required"] = []


def what_was_a_text_may_be_null(one: dict[str, Any]) -> None:
    message(one)["content"]["nullable"] = True


def a_shorter_limit(one: dict[str, Any]) -> None:
    message(one)["subject"]["maxLength"] = 100


def an_empty_text_is_allowed(one: dict[str, Any]) -> None:
    message(one)["content"].pop("minLength")


def a_new_path(one: dict[str, Any]) -> None:
    one["paths"]["/drafts"] = {"post": deepcopy(send(one)) | {"operationId": "draft"}}


def a_path_without_a_mark(one: dict[str, Any]) -> None:
    one["paths"]["/status"] = {"get": {"responses": {"200": {"description": "Well"}}}}


def a_new_method(one: dict[str, Any]) -> None:
    one["paths"]["/messages/{id}"]["patch"] = deepcopy(send(one)) | {"operationId": "patch"}


def a_renamed_path(one: dict[str, Any]) -> None:
    one["paths"]["/notes"] = one["paths"].pop("/messages")


def another_base_path(one: dict[str, Any]) -> None:
    one["servers"] = [{"url": "https://api.example.org/v2"}]


def another_media_type(one: dict[str, Any]) -> None:
    send(one)["requestBody"]["content"]["application/x-www-form-urlencoded"] = {"schema": REF}


def a_parameter_that_sorts_by_what_is_sealed(one: dict[str, Any]) -> None:
    send(one)["parameters"][0]["schema"] = {"type": "string", "enum": ["priority", "-content"]}


def another_status(one: dict[str, Any]) -> None:
    send(one)["responses"]["200"] = deepcopy(send(one)["responses"]["201"])


def another_part(one: dict[str, Any]) -> None:
    form = one["paths"]["/files"]["post"]["requestBody"]["content"]["multipart/form-data"]
    form["schema"]["properties"]["title"] = MARKED


def a_renamed_part(one: dict[str, Any]) -> None:
    form = one["paths"]["/files"]["post"]["requestBody"]["content"]["multipart/form-data"]
    form["schema"]["properties"] = {"upload": {**MARKED, "format": "binary"}}
    form["schema"]["required"] = ["upload"]


def an_operation_taken_away(one: dict[str, Any]) -> None:
    del one["paths"]["/files"]


def a_path_beside_a_parameter(one: dict[str, Any]) -> None:
    # The rule for /messages/{id} takes this one's requests as well.
    edit = {"operationId": "all", "requestBody": {"content": {JSON: {"schema": an_object(n=REF)}}}}
    one["paths"]["/messages/all"] = {"put": {**edit, "responses": {"200": {"description": ""}}}}


DRIFTS: dict[Change, str] = {
    a_new_mark: "request: $.diagnosis is marked, and no rule seals it",
    a_mark_on_what_was_open: "request: query:notify is marked, and no rule seals it",
    a_mark_on_a_header: "request: header:x-note is marked, and no rule seals it",
    a_mark_in_what_was_unmarked: "request: $.query is marked, and no rule seals it",
    a_mark_in_an_error: "response: $.reason is marked, and no rule opens it",
    a_mark_taken_away: "request: $.subject is sealed, and the description does not mark it",
    a_renamed_property: "a valid request (application/json) is refused: missing-value",
    a_list_around_the_message: "a valid request (application/json) is refused: forbidden-value",
    an_object_around_the_message: "a valid request (application/json) is refused: missing-value",
    a_new_variant: "a valid request (application/json) is refused: missing-value",
    what_was_needed_is_optional: "a valid request (application/json) is refused: missing-value",
    what_was_a_text_may_be_null: "a valid request (application/json) is refused: missing-value",
    a_shorter_limit: "request: $.subject: a token has ",
    an_empty_text_is_allowed: "a valid request (application/json) is refused: unfit-value",
    a_new_path: "requests are refused: rejected-by-rule (no-rule)",
    a_path_without_a_mark: "requests are refused: rejected-by-rule (no-rule)",
    a_new_method: "requests are refused: rejected-by-rule (no-rule)",
    a_renamed_path: "requests are refused: rejected-by-rule (no-rule)",
    another_base_path: "requests are refused: rejected-by-rule (no-rule)",
    another_media_type: "a valid request (application/x-www-form-urlencoded) is refused:",
    another_status: "response: $.content is marked, and no rule opens it",
    another_part: "request: part:title is marked, and no rule seals it",
    a_renamed_part: "a valid request (multipart/form-data) is refused: missing-value",
    an_operation_taken_away: "no operation has requests for the rule",
    a_parameter_that_sorts_by_what_is_sealed: "`notify` may be `-content`, which names a sealed",
    a_property_that_no_rule_lists: "a valid request is refused: unlisted-name Neither sealed nor",
    a_path_beside_a_parameter: "a valid request (application/json) is refused: missing-value",
}


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda one: one.__name__)
def test_each_drift_is_found(tmp_path: Path, drift: Change) -> None:
    rules = read(tmp_path, BASE).listener()
    later = deepcopy(BASE)
    drift(later)

    texts = [one.text for one in read(tmp_path, later).compared(rules)]

    assert any(DRIFTS[drift] in one for one in texts), texts


def test_rules_that_are_made_are_what_the_description_says(tmp_path: Path) -> None:
    world = read(tmp_path, BASE)

    assert world.compared(world.listener()) == []


def test_rules_are_made_in_one_order_whatever_the_order_of_the_description(tmp_path: Path) -> None:
    other = deepcopy(BASE)
    other["paths"] = dict(reversed(other["paths"].items()))

    assert read(tmp_path, other).made().text == read(tmp_path, BASE).made().text


def test_a_selector_for_nothing_is_found(tmp_path: Path) -> None:
    world = read(tmp_path, BASE)
    text = world.made().text.replace(
        "            - part:", "            - optional part:thumbnail\n            - part:"
    )

    found = [one.text for one in world.compared(listener(text))]

    assert found == ["request: part:thumbnail is in no message of its operations"]


def test_sealing_in_responses_is_the_other_way_round(tmp_path: Path) -> None:
    world = read(tmp_path, BASE)
    rules = world.listener("responses")

    assert world.compared(rules, "responses") == []
    assert any("is refused" in one.text for one in world.compared(rules, "requests"))
