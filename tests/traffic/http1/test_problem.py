from __future__ import annotations

import json

import pytest

from proxy.core.errors import (
    InternalError,
    InvalidBody,
    OpenFailed,
    TrafficError,
    ValueTooLong,
    traffic_errors,
)
from proxy.traffic.http1.problem import deliberate, problem


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
    assert (b"Retry-After" in dict(made.headers)) == (kind.status == 503)
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


def test_a_problem_on_the_wire() -> None:
    made = problem(InvalidBody(), "id")

    whole = made.render(connection=b"close", head_only=False)
    head = made.render(connection=None, head_only=True)

    assert whole.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(made.body) in whole
    assert whole.endswith(b"\r\n\r\n" + made.body)
    assert head.endswith(b"\r\nContent-Length: %d\r\n\r\n" % len(made.body))
