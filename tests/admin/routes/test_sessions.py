"""The calls about the sessions of one scope, over a real connection."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.crypto.joined_names import Joined, to_json
from proxy.core.errors import KeyUnavailable, OperatorError
from proxy.keys.operations.verb import Call, Done

from ..conftest import Everything, Listening, Open

NAMED = {"tenant": "clinic", "conversation": "c1"}
SCOPE = Scope("clinic", "c1")
NAME = "A" * 22


async def posted(ours: Open, path: str, body: Any) -> tuple[int, dict[str, str], Any]:  # noqa: ANN401 - JSON
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, headers, text = await ours.call("POST", f"/v1/sessions{path}", body=sent)
    return status, headers, json.loads(text)


async def test_a_call_names_its_scope_and_the_answer_is_json(listening: Listening) -> None:
    session = {"sid": "s" * 16, "kek": "k1", "began": 5, "soft_end": 9, "sealed": 2}
    held = {"scope": NAME, "not_before": 0, "sessions": [session]}
    subject = Everything(done=Done(held))
    ours = await listening(subject=subject)
    _, headers, shown = await ours.call("GET", "/v1/sessions?tenant=clinic&conversation=c1")
    created = await posted(ours, "", NAMED)
    await posted(ours, "/rotate", {"tenant": "clinic"})

    assert json.loads(shown) == held
    assert (created[0], headers["Content-Type"].split(";")[0]) == (200, "application/json")
    assert subject.calls == [
        Call("sessions.show", {"scope": SCOPE}),
        Call("sessions.create", {"scope": SCOPE}),
        Call("sessions.rotate", {"scope": Scope("clinic")}),
    ]


async def test_a_revocation_is_of_now_unless_a_time_is_said(listening: Listening) -> None:
    kept = {"scope": NAME, "store": True, "durable": False, "problem": "read-only"}
    subject = Everything(done=Done(kept))
    ours = await listening(subject=subject)
    status, _, answer = await posted(ours, "/revoke", NAMED)
    await posted(ours, "/revoke", {**NAMED, "not_before": 7})

    assert (status, answer["durable"], answer["problem"]) == (200, False, "read-only")
    # What "now" is, who has the store's clock says.
    assert subject.calls[0] == Call("sessions.revoke", {"scope": SCOPE})
    assert subject.calls[1] == Call("sessions.revoke", {"scope": SCOPE, "not_before": 7})


async def test_a_revocation_that_nobody_kept_is_no_success(listening: Listening) -> None:
    lost = {"scope": NAME, "durable": False, "problem": "full"}
    ours = await listening(subject=Everything(done=Done(lost, failed="revocation-not-kept")))
    status, headers, answer = await posted(ours, "/revoke", NAMED)
    assert (status, headers["Sealyard-Error"]) == (503, "revocation-not-kept")
    assert (answer["scope"], answer["problem"]) == (NAME, "full")


async def test_what_stops_a_call_is_told_by_its_code(listening: Listening) -> None:
    for error, status, code in (
        (KeyUnavailable("store-unavailable"), 503, "key-unavailable"),
        (OperatorError("not-before-in-the-future"), 400, "not-before-in-the-future"),
        (OperatorError("clock-skew", detail="by NTP"), 503, "clock-skew"),
    ):
        ours = await listening(subject=Everything(raises=error))
        answer = await posted(ours, "/revoke", NAMED)
        assert (answer[0], answer[1]["Sealyard-Error"]) == (status, code)


MALFORMED = [
    b"",
    b"[]",
    b'{"tenant": "a", "tenant": "b"}',
    {},
    {"tenant": None},
    {"tenant": 5},
    {"tenant": "a", "scope": "b"},
    {"tenant": "a", "not_before": 5},
    b'{"tenant": "\\ud800"}',
    b'{"tenant": "\xff"}',
]


@pytest.mark.parametrize("body", MALFORMED)
async def test_what_is_malformed_is_not_done(listening: Listening, body: Any) -> None:  # noqa: ANN401 - JSON
    subject = Everything()
    ours = await listening(subject=subject)
    status, headers, answer = await posted(ours, "/rotate", body)

    assert (status, headers["Sealyard-Error"], subject.calls) == (400, "malformed-call", [])
    assert answer["detail"].endswith(".")


@pytest.mark.parametrize("value", [0, -1, 1.5, "5", True, 2**63])
async def test_a_time_that_is_none_is_refused(listening: Listening, value: object) -> None:
    subject = Everything()
    ours = await listening(subject=subject)
    answer = await posted(ours, "/revoke", {**NAMED, "not_before": value})

    assert (answer[0], subject.calls) == (400, [])


async def test_a_parameter_given_twice_is_refused(listening: Listening) -> None:
    subject = Everything()
    ours = await listening(subject=subject)
    status, *_ = await ours.call("GET", "/v1/sessions?tenant=a&tenant=b")

    assert (status, subject.calls) == (400, [])


async def test_a_body_above_16_kib_is_refused(ours: Open) -> None:
    status, headers, _ = await posted(ours, "/rotate", {"tenant": "a" * 17_000})

    assert (status, headers["Sealyard-Error"]) == (413, "body-too-large")


async def test_names_are_not_written_to_the_log(ours: Open) -> None:
    await ours.call("GET", "/v1/sessions?tenant=canary-tenant&conversation=canary-c")
    await posted(ours, "/rotate", {"tenant": "canary-tenant"})

    assert len(ours.heard) == 2
    assert "canary" not in str(ours.heard)


MEMBERS = Joined("members", ("bob", "alice"))
LIST = Joined("list", ("alice", MEMBERS))


async def test_joined_names_are_json_in_bodies_and_in_queries(listening: Listening) -> None:
    subject = Everything()
    named = {"tenant": ["a", "b"], "conversation": {"members": ["alice", "bob"]}}
    query = urlencode({"tenant": "5:alice3:bob", "conversation_json": json.dumps(to_json(LIST))})
    ours = await listening(subject=subject)
    await posted(ours, "/rotate", named)
    status, _, _ = await ours.call("GET", f"/v1/sessions?{query}")
    erased, _, _ = await ours.call("DELETE", f"/v1/sessions?{query}")

    assert (status, erased) == (200, 200)
    assert [one.given["scope"] for one in subject.calls] == [
        Scope(Joined("list", ("a", "b")), MEMBERS),
        *[Scope("5:alice3:bob", LIST)] * 2,
    ]


@pytest.mark.parametrize(
    "name",
    [[], [7], {"members": "a"}, {"list": ["a"]}, {"members": ["a"], "b": 1}, 7, ["\ud800"], True],
)
async def test_what_spells_no_name_is_malformed(listening: Listening, name: object) -> None:
    subject = Everything()
    ours = await listening(subject=subject)
    status, _, _ = await posted(ours, "/rotate", {"conversation": name})
    assert (status, subject.calls) == (400, [])


@pytest.mark.parametrize(
    "query",
    ["conversation_json=alice", "conversation_json=[]", "conversation=a&conversation_json=[1]"],
)
async def test_a_query_that_spells_no_name_is_malformed(listening: Listening, query: str) -> None:
    subject = Everything()
    ours = await listening(subject=subject)
    status, _, _ = await ours.call("GET", f"/v1/sessions?{query}")
    assert (status, subject.calls) == (400, [])
