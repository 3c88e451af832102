"""Rules proposed from recorded requests: right as they are, and not to be poisoned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.cli.support.proposal import RECORDED, UNVETTED, proposed, routes_of
from proxy.config.settings import (
    KeySettings,
    ListenerSettings,
    Settings,
    TcpAddress,
    UpstreamSettings,
)
from proxy.config.settings.keys import KeyringSettings
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Names, Rule
from proxy.telemetry.metrics.samples import Samples
from proxy.wiring.admin.ladder_counts import Ledger, to_json
from tests.cli.conftest import invoke
from tests.factories import a_block

URL = "http://127.0.0.1:3000"


def an_entry(
    body: object,
    target: str = "/api/messages",
    *,
    method: str = "POST",
    status: int = 201,
    client: str = "",
    media: str = "application/json",
) -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    request: dict[str, Any] = {"method": method, "url": URL + target, "headers": []}
    if body is not None:
        request["postData"] = {"mimeType": media, "text": text}
    return {"request": request, "response": {"status": status}, "_client": client}


def a_har(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"log": {"version": "1.2", "entries": entries}}).encode()


def made(
    tmp_path: Path, *entries: dict[str, Any], options: tuple[str, ...] = ()
) -> tuple[Any, str]:
    """Return the rules that are written, and the text of the file; it is valid."""
    (tmp_path / "a.har").write_bytes(a_har(*entries))
    invoke("init", str(tmp_path / "new"), "--from", str(tmp_path / "a.har"))
    file = tmp_path / "new" / "sealyard.yaml"
    invoke("validate", "--config", str(file))
    text = file.read_text()
    return yaml.safe_load(text)["listeners"][0]["rules"], text


MESSAGE = {
    "conversationId": "c1",
    "content": "hello",
    "clientId": "k1",
    "email": "ada@example.org",
    "files": [{"id": 7, "name": "a"}, {"id": 8, "name": "b"}],
    "seen": None,
}


def test_a_browser_s_recording_becomes_rules(tmp_path: Path) -> None:
    rules, text = made(
        tmp_path,
        an_entry(MESSAGE, "/api/messages?dry=1"),
        an_entry({"conversationId": "c2", "content": "again"}),
        an_entry(None, "/api/rooms/17/messages?page=2&before=x", method="GET", status=200),
        an_entry("a=1", "/missing", status=404),
        an_entry(None, "/api/messages", method="OPTIONS", status=204),
        an_entry("content=x&kind=y", "/forms", media="application/x-www-form-urlencoded"),
        an_entry({"text": "x", "userId": 1}, "/rooms/0b6f3a5e-6c1d-4a53-9d1c-2f7f6a1f0001"),
    )

    assert rules == [
        {
            "name": "get /api/rooms/{id}/messages",
            "match": "GET /api/rooms/{id}/messages",
            "conversation": "path:id",
            "query": {"before": "plain", "page": "plain"},
        },
        {
            "name": "post /api/messages",
            "match": "POST /api/messages",
            "conversation": "$.conversationId",
            "query": {"dry": "plain"},
            "request": {
                "encrypt": ["$.content", "optional $.email"],
                "plain": ["$.clientId", "$.files.*.id", "$.files.*.name"],
            },
        },
        {
            "name": "post /forms",
            "match": "POST /forms",
            "conversation": "const:all",
            "request": {"encrypt": ["form:content"], "plain": ["form:kind"]},
        },
        {
            "name": "post /rooms/{id}",
            "match": "POST /rooms/{id}",
            "conversation": {"from": "path:id", "unrelated": ["$.userId"]},
            "request": {"encrypt": ["$.text"], "plain": ["$.userId"]},
        },
    ]
    for value in ("hello", "ada@example.org", "c1", "k1"):
        assert value not in text.partition("rules:")[2].replace("example", "")


def test_names_that_are_data_and_twins_stand_in_comments_alone(tmp_path: Path) -> None:
    rules, text = made(
        tmp_path,
        an_entry({"content": "x", "Content": "y", "content.lang": "z", "kind": 1}),
        an_entry({"content": "x", "ada@example.org": True, "kind": 2}, "/api/messages?CONTENT=1"),
    )

    assert rules[0]["request"] == {"encrypt": ["$.content"], "plain": ["$.kind"]}
    assert "query" not in rules[0]
    assert "#   Content: 1 requests of 1 clients" in text
    assert "#   a name that is none but data: 1 requests of 1 clients" in text
    assert "ada@" not in text


SEARCHES = ("q", "Search", "content__icontains", "filter[text]", "subject")


@pytest.mark.parametrize("name", SEARCHES)
def test_the_words_of_a_search_are_not_proposed_to_pass(tmp_path: Path, name: str) -> None:
    """Neither in a rule that only reads, of which `validate` knows nothing that is sealed."""
    target = f"/api/messages?{name}=canary&page=1"
    bodies = [an_entry({"text": "x", "kind": 1, one: "canary"}) for one in ("q", "Keywords")]
    rules, text = made(tmp_path, an_entry(None, target, method="GET", status=200), *bodies)

    assert rules[0]["query"] == {"page": "plain"}
    assert rules[1]["request"]["plain"] == ["$.kind"]
    told = [line for line in text.splitlines() if "may have the words of a search" in line]
    shown = "a name that is none but data" if "[" in name else f"?{name}"
    assert [one.strip("# ").partition(":")[0] for one in told] == [shown, "Keywords", "q"]
    assert "canary" not in text


HOSTILE = (
    *("isAdmin", "Content", "content.x", "cont\u0435nt", "ssn", "ada@b.example"),
    *("x" * 80, "_content"),
)


@pytest.mark.parametrize("step", [1, 3, 5])
def test_hostile_requests_put_nothing_into_plain(step: int) -> None:
    entries = []
    for number in range(2000):
        body = {"conversationId": f"c{number % 7}", "content": "hello", "kind": "a", "n": number}
        query = "page=1"
        if number % 10 == 0:
            query = "evil=1"
            for at in range(3):
                name = HOSTILE[(number // 10 + at * step) % len(HOSTILE)]
                body[name] = "4111 1111 1111 1111" if number % 20 else "x"
        entries.append(an_entry(body, f"/api/messages?{query}", client=f"c{number}"))
    (route,) = routes_of(a_har(*entries))

    found = proposed(route, UNVETTED)
    assert found.plain == ["$.kind", "$.n"]
    assert found.encrypt == ["$.content"]
    assert found.query == ["page"]
    assert all(any(name in one for one in found.left) for name in ("isAdmin", "ssn", "evil"))


@pytest.mark.parametrize(
    ("requests", "clients", "taken"), [(20, 3, True), (19, 3, False), (20, 2, False)]
)
def test_a_name_needs_requests_and_clients(requests: int, clients: int, *, taken: bool) -> None:
    entries = [an_entry({"kind": 1}, client=str(one % clients)) for one in range(requests)]
    (route,) = routes_of(a_har(*entries))

    assert proposed(route, UNVETTED).plain == (["$.kind"] if taken else [])


def test_requests_that_failed_prove_nothing() -> None:
    refused = [an_entry({"evil": 1}, status=400, client=str(one)) for one in range(50)]
    entries = [an_entry({"kind": 1}, client=str(one)) for one in range(50)]
    (route,) = routes_of(a_har(*refused, *entries))

    assert proposed(route, UNVETTED).plain == ["$.kind"]


def test_nothing_of_the_example_rules_is_beside_a_proposal(tmp_path: Path) -> None:
    _, text = made(tmp_path, an_entry({"room": "r1", "text": "hello"}, "/api/notes"))

    assert "fields:" not in text
    assert "conversationId" not in text
    assert "/api/messages" not in text


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"log":{"entries":[{}]}}', b"\xff", b"[" * 5000]
)
def test_what_is_no_har_is_told(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.har").write_bytes(text)

    told = invoke("init", str(tmp_path / "new"), "--from", str(tmp_path / "a.har"), status=3)
    assert not (tmp_path / "new").exists()
    assert "HAR" in told.stderr


def test_a_recording_without_success_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.har").write_bytes(a_har(an_entry({"a": 1}, status=500)))

    invoke("init", str(tmp_path / "new"), "--from", str(tmp_path / "a.har"), status=3)


RULE = Rule(
    "send",
    (parse_pattern("POST /rooms/{room}/messages"),),
    names=Names(tenant=parse_source("const:t"), conversation=parse_source("path:room")),
    request=(a_block(encrypt=["$.content"], plain=["$.kind"]),),
    observes=True,
)


def unlisted(selector: str, messages: int = 20, clients: int = 3, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - of each type
    told = {"place": selector or "$.*#000000", "selector": selector, "messages": messages}
    where = {"process": 1, "listener": "api", "rule": "send", "sensitive": False}
    return {**where, **told, "clients": [str(one) for one in range(clients)], **more}


def counted(*seen: dict[str, Any], rule: Rule = RULE) -> bytes:
    """Return what the process writes of a rule in mode `observe`."""
    listener = ListenerSettings(
        "api",
        TcpAddress("h", 1),
        UpstreamSettings(TcpAddress("h", 2)),
        pass_unmatched=True,
        rules=(rule,),
    )
    settings = Settings(KeySettings(KeyringSettings(Path("k"), ())), (listener,))
    ledger = Ledger({})
    ledger.take(settings, Samples(), 1.0, seen)
    return json.dumps(to_json(settings, ledger.stages)).encode()


def test_what_observe_saw_completes_a_rule(tmp_path: Path) -> None:
    seen = (
        unlisted("$.clientId"),
        unlisted("$.urgent"),
        unlisted("$.note"),
        unlisted("?page"),
        unlisted("?q"),
        unlisted("$.query"),
        unlisted("form:other"),
        unlisted("$.rare", 19),
        unlisted("$.lonely1", clients=2),
        unlisted("$.sensitive", place="$.*#5e5e5e", sensitive=True),
        unlisted("", 900),
    )
    (tmp_path / "ladder.json").write_bytes(counted(*seen))
    invoke("init", str(tmp_path / "new"), "--from", str(tmp_path / "ladder.json"))
    file = tmp_path / "new" / "sealyard.yaml"
    invoke("validate", "--config", str(file))

    (rule,) = yaml.safe_load(file.read_text())["listeners"][0]["rules"]
    assert rule == {
        "name": "send",
        "match": "POST /rooms/{room}/messages",
        "conversation": {"from": "path:room", "unrelated": ["$.clientId"]},
        "query": {"page": "plain"},
        "request": {
            "encrypt": ["$.content", "optional $.note"],
            "plain": ["$.kind", "$.clientId", "$.urgent"],
        },
    }
    text = file.read_text()
    assert "#   form:other: 20 requests of 3 clients" in text
    assert "#   $.*#000000: 900 requests of 3 clients" in text
    assert ("#   $.rare: 19 requests" in text, "$.sensitive" in text) == (True, False)
    assert "looks sensitive" in text
    for place in ("?q", "$.query"):
        assert f"#   {place}: 20 requests of 3 clients, may have the words of a search" in text


@pytest.mark.parametrize(
    "rule",
    [
        replace(RULE, observes=False),
        replace(RULE, patterns=RULE.patterns * 2),
        replace(RULE, names=Names()),
    ],
    ids=["enforced", "two paths", "no conversation"],
)
def test_a_rule_that_cannot_be_completed_is_told(tmp_path: Path, rule: Rule) -> None:
    (tmp_path / "ladder.json").write_bytes(counted(rule=rule))

    told = invoke("init", str(tmp_path / "new"), "--from", str(tmp_path / "ladder.json"), status=3)
    assert "no rule in mode `observe`" in told.stderr


@pytest.mark.parametrize("text", [b'{"rules": 1}', b'{"rules": [1]}', b'{"rules": [{}]}'])
def test_what_are_no_counts_is_told(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "ladder.json").write_bytes(text)

    told = invoke("init", str(tmp_path / "new"), "--from", str(tmp_path / "ladder.json"), status=3)
    assert "neither a HAR nor the counts of rules" in told.stderr


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ({"headers": [{"name": "Link", "value": '</api/notes?after=7>; rel="next"'}]}, True),
        ({"content": {"text": json.dumps({"next": f"{URL}/api/notes?after=7"})}}, True),
        ({"content": {"text": json.dumps({"_links": {"next": {"href": "?after=7"}}})}}, True),
        ({"content": {"text": json.dumps({"next": "/api/others?after=7"})}}, False),
        ({"content": {"text": json.dumps({"text": f"{URL}/api/notes?after=7"})}}, False),
        ({"content": {"text": json.dumps({"next": "http://[?after=7"})}}, False),
        ({"content": {"text": "{"}}, False),
    ],
)
def test_names_of_the_next_page_are_proposed(answer: dict[str, Any], named: bool) -> None:  # noqa: FBT001 - a case
    entry = an_entry(None, "/api/notes?limit=5", method="GET", status=200)
    entry["response"] |= answer
    (route,) = routes_of(a_har(entry))
    assert proposed(route, RECORDED).query == (["after", "limit"] if named else ["limit"])
