from __future__ import annotations

from proxy.core.explained import document, explain_target
from proxy.core.rulebook import Rulebook

NOTHING = Rulebook((), pass_unmatched=True)


def test_a_request_that_passes_is_told_with_what_goes_out() -> None:
    told, exchange = explain_target(NOTHING, "POST", "/a?b=c", (), b"hello")

    assert document(told) == {
        "rule": None,
        "considered": [],
        "values": [],
        "outgoing": "hello",
        "refusal": None,
    }
    assert exchange is not None
    assert exchange.head.query == "b=c"


def test_a_path_that_nobody_can_read_is_told_as_refused() -> None:
    told, exchange = explain_target(NOTHING, "GET", "/a/%zz", (), b"")

    assert exchange is None
    refusal = document(told)["refusal"]
    assert isinstance(refusal, dict)
    assert refusal["code"] == "malformed-request"
    assert document(told)["outgoing"] is None
