from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from proxy.core.crypto.context import Context
from tests.cli.conftest import invoke
from tests.factories import SCOPE, a_session

CONFIGURATION = str(Path(__file__).parents[3] / "config" / "sealyard.yaml")
CANARY = "canary of the explain command"
MESSAGE = json.dumps({"conversationId": "c1", "content": CANARY, "priority": 1.10})


explain = partial(invoke, "explain", "--config", CONFIGURATION)


def test_it_tells_the_rule_the_values_and_what_goes_out_masked() -> None:
    result = explain("POST", "/api/messages", "-d", MESSAGE)

    assert "rule 'send' matches" in result.stdout
    assert "conversation 'c1'" in result.stdout
    assert '"<content sealed, ' in result.stdout
    assert CANARY not in result.stdout


def test_it_tells_why_earlier_rules_did_not_match() -> None:
    result = explain("GET", "/api/conversations/c1/messages")

    assert "rule 'send' does not match: `conversations` is not `messages`" in result.stdout
    assert "rule 'list' matches" in result.stdout


def test_it_reads_bodies_from_files_and_explains_answers(tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    answer.write_text('{"messages": []}')

    result = explain("GET", "/api/conversations/c1/messages", "--response", f"@{answer}", "--json")

    told = json.loads(result.stdout)
    assert told["request"]["rule"] == "list"
    assert told["response"]["values"] == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("GET", "/api/messages/search"), "rejected-by-rule"),
        (("POST", "/api/messages", "-d", "{"), "invalid-body"),
        (("POST", "/api/messages", "-d", "{}"), "missing-value"),
        (("POST", "/api/%2e%2e/%zz"), "malformed-request"),
        (("POST", "/API/messages", "-d", MESSAGE), "ambiguous-request"),
        (
            ("POST", "/api/messages", "-d", "x", "-H", "Content-Type: text/plain"),
            "unsupported-body",
        ),
    ],
)
def test_a_refusal_ends_with_one_and_its_code(arguments: tuple[str, ...], code: str) -> None:
    result = explain(*arguments, "--json", status=1)

    assert json.loads(result.stdout)["request"]["refusal"]["code"] == code


def test_what_no_rule_takes_is_said_to_be_refused() -> None:
    result = explain("GET", "/elsewhere", status=1)

    assert "the listener has `unmatched: reject`" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("GET", "/", "--listener", "none"),
        ("GET", "/", "-H", "no colon"),
    ],
)
def test_bad_arguments_are_a_usage_error(arguments: tuple[str, ...]) -> None:
    explain(*arguments, status=2)


def test_a_file_that_is_missing_is_named() -> None:
    result = explain("GET", "/", "-d", "@/does/not/exist", status=3)

    assert "/does/not/exist: No such file or directory; check the path" in result.output


def test_it_tells_for_whom_a_value_is_sealed_end_to_end_and_who_opens_it() -> None:
    example = str(Path(CONFIGURATION).parent / "examples" / "end-to-end.yaml")
    bearer = "Authorization: Bearer e30.eyJzdWIiOiJhbGljZSJ9.x"
    path = "/api/v1/enhanced-messages"
    body = {"conversationId": "c1", "recipients": [{"id": "carol"}, {"id": "bob"}]}
    sent = (f"{path}/group", "-d", json.dumps({**body, "content": CANARY}))
    words = ("explain", "--config", example)

    result = invoke(*words, "POST", *sent, "-H", bearer)
    assert "; for 'bob', 'carol', signed by 'alice'" in result.stdout
    assert CANARY not in result.stdout

    token = a_session(ephemeral=True).seal(b"x", Context(SCOPE)).decode()
    answer = json.dumps({"data": {"messages": [{"content": token}]}})
    asked = (f"{path}/history?conversationId=c1", "--response", answer)
    result = invoke(*words, "GET", *asked, "-H", bearer)
    assert "; by a key of 'alice'" in result.stdout


def test_a_message_that_never_ends_is_not_sent() -> None:
    wrong = "Content-Length: 5000"
    result = explain("POST", "/api/messages", "-d", MESSAGE, "-H", wrong, status=2)

    assert "never ends" in result.stderr
