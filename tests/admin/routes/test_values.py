"""`POST /v1/seal` and `POST /v1/open`: what they take, and what they answer."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import Joined
from proxy.core.errors import (
    KeyUnavailable,
    OpenFailed,
    OperatorError,
    SealyardError,
)
from proxy.keys.operations.values import ToOpen, ToSeal

from ..conftest import TOKEN, Everything, Listening, Open, an_access, issued

CANARY = "canary of the value calls"
WHERE = {"tenant": "clinic", "conversation": "c1", "field": "content"}
CONTEXT = Context(Scope("clinic", "c1"), "content")
SEAL: dict[str, Any] = {"values": [{**WHERE, "value": CANARY}]}
OPEN: dict[str, Any] = {"tokens": [{**WHERE, "token": CANARY}]}


async def test_values_are_sealed_in_their_order_and_as_they_are_named(listening: Listening) -> None:
    subject = Everything()
    second = {"message": "m1", "purpose": "p", "form": "short", "json": True, "value": "[1.10]"}
    body = json.dumps({"values": [{**WHERE, "value": CANARY}, second]}).encode()
    ours = await listening(subject=subject)
    status, _, text = await ours.call("POST", "/v1/seal", body=body)

    assert (status, json.loads(text)) == (200, {"tokens": [CANARY[::-1], "]01.1["]})
    assert subject.asked == [
        ToSeal(CANARY.encode(), CONTEXT),
        ToSeal(b"[1.10]", Context(Scope(), None, "m1", "p"), json_value=True, form="short"),
    ]
    assert CANARY not in repr(subject.calls)
    assert CANARY not in repr(ours.heard)


async def test_base64_is_sealed_as_such(listening: Listening) -> None:
    subject = Everything()
    ours = await listening(subject=subject)
    body = json.dumps({"values": [{**WHERE, "value": "c2Nhbg==", "form": "base64"}]}).encode()
    assert (await ours.call("POST", "/v1/seal", body=body))[0] == 200
    assert subject.asked == [ToSeal(b"c2Nhbg==", CONTEXT, form="base64")]


async def test_tokens_are_opened_and_the_call_is_named_as_in_the_log(listening: Listening) -> None:
    subject = Everything()
    ours = await listening(subject=subject)
    body = json.dumps(OPEN).encode()
    status, headers, text = await ours.call("POST", "/v1/open", body=body)

    told = {"values": [{"value": CANARY[::-1], "json": False}]}
    assert (status, json.loads(text)) == (200, told)
    assert subject.asked == [ToOpen(CANARY.encode(), CONTEXT)]
    assert subject.request_id == headers["Sealyard-Request-Id"] == ours.heard[0][1]["request_id"]


@pytest.mark.parametrize(
    "one",
    [
        {},
        {"value": None},
        {"value": 1},
        {"value": "\ud800"},
        {"value": CANARY, "tenant": 1},
        {"value": CANARY, "tenant": "\udfff"},
        {"value": CANARY, "json": "yes"},
        {"value": CANARY, "json": None},
        {"value": CANARY, "json": True},
        {"value": "[1", "json": True},
        {"value": "[" * 100_000, "json": True},
        {"value": CANARY, "form": "long"},
        {"value": CANARY, "form": "base64"},
        {"value": "c2Nhbh==", "form": "base64"},
        {"value": "1234", "json": True, "form": "base64"},
        {"value": CANARY, "kind": "body"},
        {"value": CANARY, "sender": "alice"},
    ],
)
async def test_what_is_not_said_so_is_not_taken_and_not_repeated(
    listening: Listening, one: dict[str, Any]
) -> None:
    subject = Everything()
    ours = await listening(subject=subject)
    body = json.dumps({"values": [{"value": "x"}, one]}).encode()
    status, headers, text = await ours.call("POST", "/v1/seal", body=body)

    assert (status, headers["Sealyard-Error"]) == (400, "malformed-call")
    assert CANARY not in text
    assert subject.asked == []


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"tokens": []},
        {"tokens": {}},
        {"tokens": ["x"]},
        {**OPEN, "values": []},
        SEAL,
        {"tokens": OPEN["tokens"] * 101},
        {"tokens": [{"token": "x", "form": "jwe"}]},
    ],
)
async def test_a_list_has_one_to_a_hundred(ours: Open, said: dict[str, Any]) -> None:
    answer = await ours.call("POST", "/v1/open", body=json.dumps(said).encode())

    assert (answer[0], answer[1]["Sealyard-Error"]) == (400, "malformed-call")


async def test_bodies_are_bounded_at_one_mebibyte_and_those_of_other_calls_are_not_raised(
    ours: Open,
) -> None:
    long = json.dumps({"values": [{"value": "x" * 1_000_000}]}).encode()
    longer = json.dumps({"values": [{"value": "x" * 1_048_576}]}).encode()
    statuses = [
        (await ours.call("POST", path, body=io.BytesIO(body)))[0]
        for path, body in (("/v1/seal", long), ("/v1/seal", longer), ("/v1/sessions", long))
    ]

    assert statuses == [200, 413, 413]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OpenFailed("bad-tag"), 400, "open-failed"),
        (OpenFailed("unknown-key"), 400, "open-failed"),
        (KeyUnavailable("store-unavailable"), 503, "key-unavailable"),
        (OperatorError("store-not-shared"), 409, "store-not-shared"),
        (OperatorError("else"), 500, "internal-error"),
    ],
)
async def test_what_stops_a_call_is_told_by_its_code_alone(
    listening: Listening, error: SealyardError, status: int, code: str
) -> None:
    ours = await listening(subject=Everything(raises=error))
    body = json.dumps(OPEN).encode()
    answer = await ours.call("POST", "/v1/open", body=body)

    assert (answer[0], answer[1]["Sealyard-Error"]) == (status, code)
    assert error.reason == code or error.reason not in answer[2]


@pytest.mark.parametrize(("path", "body"), [("/v1/seal", SEAL), ("/v1/open", OPEN)])
async def test_nobody_may_unless_a_credential_names_it(
    listening: Listening, path: str, body: dict[str, Any]
) -> None:
    simple = an_access(issued(TOKEN, "read", "keys", "reload"))
    subject = Everything()
    ours = await listening(subject=subject, access=simple)
    answer = await ours.call("POST", path, body=json.dumps(body).encode())

    assert (answer[0], answer[1]["Sealyard-Error"]) == (403, "forbidden-scope")
    assert subject.asked == []


async def test_joined_names_are_sealed_as_such(listening: Listening) -> None:
    subject = Everything()
    named = {"conversation": {"members": ["bob", "alice"]}, "message": ["m", "1"], "tenant": "t"}
    body = json.dumps({"values": [{**named, "value": CANARY}]}).encode()
    ours = await listening(subject=subject)
    await ours.call("POST", "/v1/seal", body=body)
    (asked,) = subject.asked
    members, listed = Joined("members", ("alice", "bob")), Joined("list", ("m", "1"))
    assert asked.context == Context(Scope("t", members), None, listed)
