"""`sealyard test`: cases of rules, what they cover, and which mutants they notice."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.cli.conftest import invoke

EXAMPLES = Path(__file__).parents[3] / "config" / "examples"
NAMES = sorted(one.name for one in EXAMPLES.glob("*.yaml"))
IN_CI = 6
"""CI makes mutants of one example in so many; the part `scenes` of the nightly makes all."""
CANARY = "CANARY-rule-tests"

CONFIGURATION = """\
version: 1
keys: {keyring: {file: keyring.jwe, key: {file: root.key}}}
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    defaults: {others: pass, tenant: const:clinic, bind: [tenant, field]}
    rules:
      - name: send
        match: POST /messages
        request: {encrypt: [$.content, "optional $.list.*.note", "optional header:x-note as note"]}
        response: {decrypt: optional $.content}
      - name: form
        match: POST /form
        request: {encrypt: ["form:text", "optional query:q as text"]}
      - name: chat
        match: WS /chat
        request: {encrypt: $.text}
        response: {decrypt: $.text}
      - name: feed
        match: GET /feed
        response: {decrypt: optional $.text, type: text/event-stream}
      - name: rest
        match: POST /**
        request: reject
"""
CASES = """\
config: sealyard.yaml
cases:
  - name: a message
    request: POST /messages
    headers: {X-Note: CANARY-rule-tests}
    body: {content: CANARY-rule-tests, list: [{note: a}, {note: b}], n: 1.10}
    response: {body: {content: <sealed>, m: 1}}
    expect:
      rule: send
      request: {$.content: sealed, $.list.*.note: sealed, header:x-note: sealed, $.n: passes,
                $.o: absent}
      backend: {content: <sealed>, list: [{note: <sealed>}, {note: <sealed>}], n: 1.10}
      response: {$.content: opened}
      client: {content: <opened>, m: 1}
  - name: a form
    request: POST /form?q=x
    headers: {content-type: application/x-www-form-urlencoded}
    body: text=hello&more=1
    expect: {rule: form, request: {form:text: sealed, query:q: sealed, form:more: passes}}
  - name: a chat
    request: WS /chat
    messages:
      - send: {text: CANARY-rule-tests}
        expect: {$.text: sealed}
      - reply: {text: <sealed short>}
        expect: {$.text: opened}
    expect: {rule: chat}
  - name: a chat that is refused
    request: WS /chat
    messages:
      - send: {other: 1}
        refused: missing-value
  - name: events
    request: GET /feed
    response:
      headers: {content-type: text/event-stream}
      body: "data: {\\"text\\": \\"<sealed>\\"}\\n\\n"
    expect: {rule: feed, response: {"#0 $.text": opened}}
  - name: elsewhere
    request: POST /elsewhere
    expect: {rule: rest, refused: rejected-by-rule}
  - name: unruled
    request: GET /elsewhere
    expect: {rule: null}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "sealyard.yaml").write_text(CONFIGURATION)
    path = tmp_path / "cases.yaml"
    path.write_text(CASES)
    return path


def changed(file: Path, old: str, new: str) -> Path:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


@pytest.mark.parametrize("example", NAMES)
def test_each_example_has_cases_that_hold(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALYARD_PASSPHRASE", "x")
    assert "0 failed" in invoke("test", str(EXAMPLES / "cases" / example)).stdout


@pytest.mark.parametrize(
    "example",
    [
        one if number % IN_CI == 0 else pytest.param(one, marks=pytest.mark.slow)
        for number, one in enumerate(NAMES)
    ],
)
def test_each_example_has_cases_that_need_every_selector_and_notice_every_mutant(
    example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALYARD_PASSPHRASE", "x")
    result = invoke("test", str(EXAMPLES / "cases" / example), "--mutate", "--coverage")
    assert "0 failed" in result.stdout


def test_cases_that_hold_pass_and_show_no_value(file: Path) -> None:
    result = invoke("test", str(file), "--coverage", "--mutate")
    assert "7 passed, 0 failed" in result.stdout
    assert CANARY not in result.output


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rule: send", "rule: form", "rule: expected form, got send"),
        ("{rule: null}", "{rule: send}", "rule: expected send, got none"),
        ("$.n: passes", "$.n: sealed", "request: $.n: expected sealed, got passes"),
        ("$.o: absent", "$.list: opened", "request: $.list: expected opened, got sealed"),
        ("n: 1.10}\n      response", "n: 1.1}\n      response", "backend: expected"),
        ("m: 1}\n  - name: a form", "m: 2}\n  - name: a form", "client: expected"),
        (
            "refused: rejected-by-rule",
            "refused: invalid-body",
            "got rejected-by-rule: rule-rejects",
        ),
        ("{rule: rest, refused: rejected-by-rule}", "{rule: rest}", "expected no refusal"),
        ("        refused: missing-value", "        expect: {$.text: sealed}", "got missing-value"),
        ('"#0 $.text": opened', '"#1 $.text": opened', "got absent"),
        ("expect: {$.text: opened}", "expect: {$.text: kept}", "message 2: $.text: expected kept"),
        (
            "expect: {rule: form, request:",
            "expect: {rule: form, client: x, request:",
            "response: the case has no `response`",
        ),
    ],
)
def test_a_case_that_does_not_hold_fails_with_its_line(
    file: Path, old: str, new: str, told: str
) -> None:
    result = invoke("test", str(changed(file, old, new)), status=1)
    assert told in result.stdout
    assert f"{file}:" in result.stdout
    assert "1 failed" in result.stdout
    assert CANARY not in result.output


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("encrypt: [$.content,", "encrypt: [$.contents,"),  # a wrong selector
        ('"form:text",', '"form:texts",'),
        (
            "decrypt: optional $.text, type: text/event-stream",
            "decrypt: optional $.text, type: a/b",
        ),
        ("POST /**\n        request: reject", "POST /**\n        request: pass"),
        ("WS /chat", "WS /chats"),
    ],
)
def test_a_changed_rule_breaks_a_case(file: Path, old: str, new: str) -> None:
    changed(file.parent / "sealyard.yaml", old, new)
    assert "failed" in invoke("test", str(file), status=1).stdout


def test_a_moved_rule_breaks_a_case(file: Path) -> None:
    configuration = file.parent / "sealyard.yaml"
    rest = "      - name: rest\n        match: POST /**\n        request: reject\n"
    changed(configuration, rest, "")
    changed(configuration, "    rules:\n", "    rules:\n" + rest)
    assert "rule: expected send, got rest" in invoke("test", str(file), status=1).stdout


def test_what_no_case_needs_or_notices_is_told(file: Path) -> None:
    changed(file, ", $.list.*.note: sealed", "")
    changed(file, "list: [{note: <sealed>}, {note: <sealed>}], n: 1.10}\n", "list: [], n: 1.10}\n")
    changed(file, "list: [{note: a}, {note: b}], n", "list: [], n")
    text = file.read_text()
    file.write_text(text[: text.index("  - name: elsewhere")])

    result = invoke("test", str(file), "--coverage", "--mutate", status=1)

    assert "no case needs $.list.*.note" in result.stdout
    assert "no case reaches rule 'rest'" in result.stdout
    assert "no case notices: rule 'send': request: another selector than $.list.*.note" in (
        result.stdout
    )
    assert "5 passed, 0 failed" in result.stdout


CHAT = """\
config: sealyard.yaml
cases:
  - request: WS /chat
    messages: [{messages}]
    expect: {{{expect}}}
"""
GOOD, BAD = "send: {text: hi}", "send: {other: 1}"


@pytest.mark.parametrize(
    ("messages", "expect", "told"),
    [
        (
            f"{{{BAD}, refused: missing-value}}, {{{GOOD}, expect: {{$.text: passes}}}}",
            "",
            ["message 2: not sent, since message 1 was refused"],
        ),
        (
            f"{{{BAD}}}, {{{GOOD}, refused: missing-value}}",
            "",
            [
                "message 1: expected no refusal, got missing-value: missing-value",
                "message 2: not sent, since message 1 was refused",
            ],
        ),
        (
            f"{{{BAD}, refused: invalid-body}}",
            "",
            ["message 1: expected invalid-body, got missing-value: missing-value"],
        ),
        (f"{{{GOOD}, refused: x}}", "", ["message 1: expected x, got no refusal"]),
        (f"{{{BAD}, refused: missing-value}}", "refused: missing-value", []),
        (f"{{{GOOD}}}, {{{BAD}}}, {{{GOOD}}}", "refused: missing-value", []),
        (
            f"{{{BAD}}}, {{{GOOD}, expect: {{$.text: sealed}}}}",
            "refused: missing-value",
            ["message 2: not sent, since message 1 was refused"],
        ),
        (
            f"{{{BAD}, refused: missing-value, expect: {{$.other: absent}}}}",
            "",
            ["message 1: it was refused, so nothing of it goes on"],
        ),
    ],
)
def test_each_message_of_a_websocket_is_looked_at(
    file: Path, messages: str, expect: str, told: list[str]
) -> None:
    file.write_text(CHAT.format(messages=messages, expect=expect))
    stdout = invoke("test", str(file), status=1 if told else 0).stdout
    assert [line for line in told if line not in stdout] == [], stdout
    assert stdout.count("message ") == len(told) + stdout.count("since message"), stdout


@pytest.mark.parametrize(
    ("case", "told"),
    [
        (
            "{request: POST /messages, expect: {refused: missing-value, backend: {}}}",
            "backend: it was refused, so nothing of it goes on",
        ),
        (
            "{request: POST /messages, expect: {refused: missing-value, request: {$.a: absent}}}",
            "request: it was refused, so nothing of it goes on",
        ),
        (
            "{request: POST /messages, expect: {refused: missing-value, response: {$.a: absent}}}",
            "response: not sent, since the request was refused",
        ),
        (
            (
                "{request: WS /none, messages: [{send: x, refused: missing-value}],"
                " expect: {refused: rejected-by-rule}}"
            ),
            "message 1: not sent, since the request was refused",
        ),
    ],
)
def test_nothing_is_expected_in_vain_of_what_is_refused(file: Path, case: str, told: str) -> None:
    sealyard = file.parent / "sealyard.yaml"
    changed(sealyard, "match: POST /**", "match: [POST /**, WS /none]")
    changed(sealyard, "match: POST /messages\n", "match: POST /messages\n        tenant: const:t\n")
    file.write_text(f"config: sealyard.yaml\ncases:\n  - {case}\n")
    assert told in invoke("test", str(file), status=1).stdout


def test_results_are_written_for_other_programs(file: Path) -> None:
    changed(file, "rule: send", "rule: form")

    github = invoke("test", str(file), "--format", "github", status=1).stdout
    assert f"::error file={file},line=3::a message: rule: expected form, got send" in github

    junit = ET.fromstring(  # noqa: S314 - our own output
        invoke("test", str(file), "--format", "junit", status=1).stdout
    )
    assert (junit.get("tests"), junit.get("failures")) == ("7", "1")
    failed = [one for one in junit if len(one)]
    assert [one.get("name") for one in failed] == ["a message"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cases: x", "cases a list of cases is expected"),
        ("case: []", "the key `case` is unknown; did you mean `cases`?"),
        ("cases:\n  - name: x", "lacks the key `request` (`METHOD /path?query`)"),
        ("cases:\n  - request: POST", "request `POST` is not `METHOD /path`; for example"),
        ("cases:\n  - {request: POST /, exepct: {}}", "did you mean `expect`?"),
        (
            "cases:\n  - {request: POST /, expect: {request: [a]}}",
            "expect.request a mapping is expected",
        ),
        ("cases:\n  - {request: POST /, headers: [a]}", "headers a mapping is expected"),
        (
            "cases:\n  - {request: POST /, response: {status: 99}}",
            "status `99` is out of range: 200 to 599",
        ),
        ("cases:\n  - {request: POST /, messages: [{send: x}]}", "messages are for WebSockets"),
        ("cases:\n  - {request: WS /, messages: {}}", "messages a list of messages is expected"),
        ("cases:\n  - {request: WS /, messages: [{}]}", "write one of `send` and `reply`"),
        ("cases:\n  - {request: POST /, listener: other}", "the case needs `listener`: one of api"),
    ],
)
def test_a_mistake_in_the_cases_is_told_with_its_place(file: Path, text: str, told: str) -> None:
    file.write_text("config: sealyard.yaml\n" + text + "\n")
    result = invoke("test", str(file), status=3)
    assert told in result.stderr
    assert "cases.yaml:" in result.stderr


def test_a_configuration_that_is_named_wins(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(CONFIGURATION.replace("name: send", "name: sent"))
    assert "got sent" in invoke("test", str(file), "--config", str(other), status=1).stdout


def test_tokens_of_every_form_open(file: Path) -> None:
    forms = (f"<sealed {one}>" for one in ("short", "equal", "json", "package"))
    for mark in ("<sealed>", *forms):
        text = CASES.replace("body: {content: <sealed>, m: 1}", f"body: {{content: {mark}, m: 1}}")
        text = text.replace(
            "client: {content: <opened>, m: 1}", "client: {content: <opened>, m: 1}"
        )
        file.write_text(text)
        assert "0 failed" in invoke("test", str(file)).stdout


SEARCHING = """\
version: 1
keys: {keyring: {file: keyring.jwe, key: {file: root.key}}}
fields: {content: {index: {words: {skip: [common-en]}}}}
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: reject
    defaults: {tenant: const:clinic, bind: [tenant, conversation, field]}
    rules:
      - name: find
        match: GET /rooms/{room}
        conversation: path:room
        request: {search: [{select: 'query:q', field: content, match: words}]}
        response: {decrypt: $.data.*.content, keep: {items: $.data, matching: q}}
"""
SEARCHES = """\
config: sealyard.yaml
cases:
  - name: a search
    request: GET /rooms/7?q=CANARY-rule-tests
    response: {body: {data: [{id: 1, content: <sealed>}, {id: 2}]}}
    expect:
      request: {query:q: searched}
      response: {$.data.*.content: opened}
      client: {data: [{id: 1, content: <opened>}]}
  - name: what no index finds
    request: GET /rooms/7?q=CANARY*
    expect: {refused: search-not-supported}
"""


def test_searches_are_tried_with_what_stays_of_their_answers(file: Path) -> None:
    (file.parent / "sealyard.yaml").write_text(SEARCHING)
    file.write_text(SEARCHES)
    result = invoke("test", str(file), "--coverage", "--mutate")
    assert "2 passed, 0 failed" in result.stdout
    assert CANARY not in result.output
    changed(file, "      client: {data: [{id: 1, content: <opened>}]}\n", "")
    changed(file, "request: {query:q: searched}", "rule: find")
    found = invoke("test", str(file), "--mutate", status=1).stdout
    assert "no case notices: rule 'find': response: block 1 keeps all elements" in found
    text = file.read_text()
    file.write_text(text[: text.index("  - name: what no index finds")].replace("?q", "?page"))
    configuration = file.parent / "sealyard.yaml"
    changed(configuration, "conversation: path", "query: {page: plain}\n        conversation: path")
    changed(file, "      response: {$.data.*.content: opened}\n", "")
    assert "no case needs query:q" in invoke("test", str(file), "--coverage", status=1).stdout


PAGES = """\
      - name: list
        match: GET /notes
        others: refuse
        query: {page: plain, sort: plain}
        response: {decrypt: optional $.rows.*.content}
"""


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ("page=2", ""),
        ("page=2&sort=a b ü", ""),
        ("page=2&sort=a%20b", ""),
        ("cursor=CANARY-rule-tests", "The rule does not list this name under `query`: cursor"),
        ("page=2&sort=-content", "A value of the query names a sealed field."),
    ],
)
@pytest.mark.parametrize("place", ["header", "member"])
def test_an_answer_that_leads_to_a_refused_page_fails_its_case(
    file: Path, link: str, told: str, place: str
) -> None:
    configuration = file.parent / "sealyard.yaml"
    changed(configuration, "      - name: rest\n", f"{PAGES}      - name: rest\n")
    url = f"https://api.example/notes?{link}"
    answers = {
        "header": f"""{{headers: {{Link: '<{url}>; rel="next"'}}, body: {{rows: []}}}}""",
        "member": f"{{body: {{rows: [], links: {{next: '{url}'}}}}}}",
    }
    case = f"""\
  - name: a page
    request: GET /notes?page=1
    response: {answers[place]}
    expect: {{rule: list}}
"""
    file.write_text(f"config: sealyard.yaml\ncases:\n{case}")
    result = invoke("test", str(file), status=1 if told else 0)
    refused = f"response: its link to another page is refused: {told}"
    assert (refused in result.stdout) == bool(told)
    assert CANARY not in result.output
