"""What the backend may be asked for, and where."""

from __future__ import annotations

import pytest

from tests.config.builders import problems_of, with_rules


def told(keys: str, match: str = "PATCH /notes/{id}") -> list[str]:
    rule = f"      - name: r\n        match: {match}\n" + "".join(
        f"        {line}\n" for line in keys.splitlines()
    )
    return problems_of(with_rules(rule))


def asks(ask: str, more: str = "select: $.room") -> str:
    return f"conversation: {{ask: '{ask}', {more}}}\nrequest: {{encrypt: $.text}}"


@pytest.mark.parametrize(
    "ask", ["GET /notes/{id}", "GET /notes/{path:id}?f=room", "GET /n?id={query:n}", "GET /n"]
)
def test_what_can_be_asked(ask: str) -> None:
    assert told(asks(ask)) == []


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (asks("POST /notes/{id}"), "does not say what to ask"),
        (asks("GET http://other/notes/{id}"), "does not say what to ask"),
        (asks("GET //other/{id}"), "does not say what to ask"),
        (asks("GET /notes/{id}#x"), "does not say what to ask"),
        (asks("GET /notes/{header:x}"), "no name of the request's target"),
        (asks("GET /notes/{}"), "no name of the request's target"),
        (asks("GET /notes/{id"), "brace alone"),
        (asks("GET /notes/{ID}"), "does not capture `path:ID`"),
        (asks("GET /notes/{id}", "also: [$.roomId]"), "lacks `select`"),
        (
            "conversation: {from: path:id, select: $.a}\nrequest: {encrypt: $.b}",
            "only applies with",
        ),
        (
            asks("GET /n?q={query:q}").replace("$.text", "['query:q']"),
            "would show the backend `query:q`",
        ),
        (
            "response: {decrypt: $.text, conversation: {ask: 'GET /n/{id}', select: $.room}}",
            "is for what a request lacks",
        ),
        (
            f"{asks('GET /n/{id}')[:-1]}, plain: $.folder.roomId}}",
            "may name what `GET /n/{id}` names",
        ),
        (
            f"{asks('GET /n/{query:note}')[:-1]}, plain: $.Note}}",
            "may name what `GET /n/{query:note}` names",
        ),
    ],
)
def test_what_cannot(keys: str, problem: str) -> None:
    assert any(problem in one for one in told(keys)), told(keys)


def test_a_websocket_outlives_a_name_that_was_asked_for() -> None:
    assert any("outlives" in one for one in told(asks("GET /notes/{id}"), "WS /notes/{id}"))
