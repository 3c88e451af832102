"""Which statuses of answers a block takes where its rule names none, and some by name."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proxy.core.errors import MessageError, UpstreamFailed
from proxy.core.planning.treatment import treat_response
from proxy.core.rules.model import Block
from tests.factories import JSON_TYPE, Trip, a_block, a_message, a_response, a_rule

OPENS = a_block(decrypt=["$.content"])
BOTH = a_block(encrypt=["optional $.note"], decrypt=["$.content"])
CANARY = "canary-7f3a"


def answered(block: Block, status: int, **members: object) -> dict[str, object]:
    """Return what a client gets of an answer to a request whose value was sealed."""
    trip = Trip((a_rule(request=a_block(encrypt=["$.content"]), response=block),), a_message())
    sealed = json.loads(trip.request().forwardable.body or b"")["content"]
    given = {name: sealed if value is Ellipsis else value for name, value in members.items()}
    body, head = json.dumps(given).encode(), a_response(status, JSON_TYPE)
    treat_response(trip.exchange, head, length=len(body))
    applied = trip.response(body, head)
    answer: dict[str, object] = json.loads(
        body if applied is None else applied.forwardable.body or body
    )
    return answer


@pytest.mark.parametrize("status", [200, 201, 299])
def test_d15_values_open_in_what_succeeds(status: int) -> None:
    assert answered(OPENS, status, content=...) == {"content": "hello"}


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
@pytest.mark.parametrize("said", ["too long", ["Ensure this field has …"], {"code": 1}, 7])
def test_what_a_backend_says_of_a_value_reaches_the_client(status: int, said: object) -> None:
    assert answered(OPENS, status, content=said) == {"content": said}
    assert answered(BOTH, status, content=said) == {"content": said}


def test_status_takes_more() -> None:
    more = replace(OPENS, statuses=((200, 299), (409, 409)))

    assert answered(more, 409, content=...) == {"content": "hello"}
    with pytest.raises(MessageError):
        answered(more, 409, content="plain")


def test_what_is_no_token_is_refused_in_what_succeeds() -> None:
    for block in (OPENS, BOTH):
        with pytest.raises(MessageError):
            answered(block, 200, content="plain")


@pytest.mark.parametrize("status", [200, 302, 400, 404, 409, 422, 500, 599])
def test_a_block_that_seals_takes_every_status(status: int) -> None:
    sealed = answered(a_block(encrypt=["$.echo"]), status, echo=CANARY)

    assert str(sealed["echo"]).startswith("eyJ")


def test_207_passes_what_its_parts_say() -> None:
    assert answered(OPENS, 207, content=...) == {"content": "hello"}
    assert answered(OPENS, 207, content="locked") == {"content": "locked"}


def test_206_is_refused() -> None:
    with pytest.raises(UpstreamFailed, match="unexpected-partial-content"):
        answered(OPENS, 206, content=...)
