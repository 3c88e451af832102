from __future__ import annotations

import json

import pytest

from proxy.core.errors import (
    Busy,
    InternalError,
    InvalidBody,
    OpenFailed,
    TrafficError,
    ValueTooLong,
    traffic_errors,
)
from proxy.core.http.header_names import names_in
from proxy.traffic.http1.framing import HTTP_11
from proxy.traffic.http1.gate import RawRequest
from proxy.traffic.http1.problem import deliberate, form_for, problem


@pytest.mark.parametrize("kind", traffic_errors())
def test_every_error_has_its_answer(kind: type[TrafficError]) -> None:
    made = problem(kind("the-reason"), "id-1")

    assert json.loads(made.body) == {
        "type": f"urn:sealyard:error:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "instance": "id-1",
    }
    assert made.status == kind.status
    assert dict(made.headers)[b"Sealyard-Error"] == kind.code.encode()
    assert (b"Allow" in dict(made.headers)) == (kind.status == 405)
    assert (b"WWW-Authenticate" in dict(made.headers)) == (kind.status == 401)
    assert (b"Retry-After" in dict(made.headers)) == (kind.status in {429, 503})
    assert b"the-reason" not in made.body


def test_a_detail_is_told() -> None:
    made = problem(ValueTooLong("too-long", detail="content: 12 bytes fit"), "id")

    assert json.loads(made.body)["detail"] == "content: 12 bytes fit"


def test_a_failed_open_looks_the_same_for_every_cause() -> None:
    causes = [OpenFailed("bad-tag", detail="a"), OpenFailed("revoked", detail="b"), OpenFailed()]

    assert len({problem(cause, "id") for cause in causes}) == 1


def test_a_misfit_in_a_response_is_the_fault_of_the_backend() -> None:
    made = problem(InvalidBody("x"), "id", direction="response")

    assert made.status == json.loads(made.body)["status"] == 502


def test_what_nobody_raised_on_purpose_says_nothing() -> None:
    error = deliberate(ValueError("CANARY"))

    assert isinstance(error, InternalError)
    assert error.reason == "ValueError"
    assert b"CANARY" not in problem(error, "id").body


GRAPHQL = "application/graphql-response+json"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("application/graphql-response+json", GRAPHQL),
        ("text/html, Application/GraphQL-Response+JSON;charset=utf-8 ;q=0.5", GRAPHQL),
        ("application/graphql-response+json;q=0.9,application/json", GRAPHQL),
        ("application/graphql-response+json;q=0, application/json", ""),
        ("application/graphql-response+json;q=0.00", ""),
        ("application/graphql-response+json-ish", ""),
        ("*/*", ""),
        ("", ""),
    ],
)
@pytest.mark.parametrize("operations", [True, False])
def test_a_client_of_graphql_is_told_by_what_it_accepts(
    accept: str,
    form: str,
    operations: bool,  # noqa: FBT001 - a parameter
) -> None:
    other = "application/json" if operations else "application/problem+json"
    headers = ((b"Accept", accept.encode()),) if accept else ()
    raw = RawRequest("POST", "/graphql", HTTP_11, headers, names_in(headers))

    assert form_for(raw, operations=operations) == (form or other)


def test_a_refusal_is_a_response_of_graphql_without_data() -> None:
    error = ValueTooLong("too-long", detail="content: 12 bytes fit")
    made = problem(error, "id", form="application/graphql-response+json")
    legacy = problem(error, "id", form="application/json")
    busy = problem(Busy("closing"), "id", form="application/json")

    assert json.loads(made.body) == {
        "errors": [
            {
                "message": "content: 12 bytes fit",
                "extensions": {
                    "code": "value-too-long",
                    "type": "urn:sealyard:error:value-too-long",
                    "title": error.title,
                    "status": 422,
                    "instance": "id",
                    "detail": "content: 12 bytes fit",
                },
            }
        ]
    }
    assert (made.status, dict(made.headers)[b"Content-Type"]) == (422, GRAPHQL.encode())
    # As JSON alone, only 200 says that a response is one of GraphQL.
    assert (legacy.status, legacy.body) == (200, made.body)
    assert dict(legacy.headers)[b"Content-Type"] == b"application/json"
    assert dict(legacy.headers)[b"Sealyard-Error"] == b"value-too-long"
    assert (busy.status, dict(busy.headers)[b"Retry-After"]) == (503, b"1")
    assert json.loads(busy.body)["errors"][0]["extensions"]["code"] == "busy"


def test_a_problem_on_the_wire() -> None:
    made = problem(InvalidBody(), "id")

    whole = made.render(connection=b"close", head_only=False)
    head = made.render(connection=None, head_only=True)

    assert whole.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(made.body) in whole
    assert whole.endswith(b"\r\n\r\n" + made.body)
    assert head.endswith(b"\r\nContent-Length: %d\r\n\r\n" % len(made.body))
