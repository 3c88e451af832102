"""The law of `sealyard explain`: it tells what `serve` does, for drawn rules and drawn messages.

A real process serves the rules; the same messages are explained. Both have a backend that is
played, so that what it got can be compared byte for byte, tokens by their length.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from proxy.core.explain.explanation import PlayedAnswer, SocketMessage, Wanted
from tests.scenarios.explained_and_served import (
    CANARY,
    JSON,
    World,
    a_world,
    hold,
    possible,
    same,
    settings_of,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("law")) as made:
        yield made


# --- drawn rules ------------------------------------------------------------------------------

ITEMS = st.sampled_from(
    [
        "$.a", "optional $.a", "$.a as short", "$.a as tight", "$.a as text", "$.a as packed",
        "optional $.b as a", "$.list.*.a", "optional $..a", "header:x-note as a",
        "optional query:q as a", "$.b json:$.a",
    ]
)  # fmt: skip
OPENS = st.sampled_from(["$.a", "optional $.a", "tokens", "optional $..a", "header:x-note as a"])
OPTIONS = {
    "already_sealed": st.sampled_from(["seal", "keep", "reject"]),
    "case_variants": st.sampled_from(["refuse", "allow"]),
    "elsewhere": st.sampled_from(["refuse", "allow"]),
    "bind": st.sampled_from([["tenant", "conversation"], ["tenant", "field"]]),
    "mode": st.sampled_from(["enforce", "permissive until 2999-01-01"]),
}
SEALING = {**OPTIONS, "expires": st.sampled_from(["1h", "never"])}
OPENING = {
    "bind": OPTIONS["bind"],
    "on_error": st.sampled_from(["reject", "keep"]),
    "escape": st.sampled_from(["auto", "html", "none"]),
}
PLAIN = st.sampled_from(["$.{b,secret}", "$.{c,A}", "$.list.*.a", "$.{d,e}", "$.plain.*"])
WORLDS = st.sampled_from(["refuse", "seal", "pass"])
CONVERSATIONS = st.sampled_from(["const:c1", "$.c", "header:x-room", "query:room", "path:id"])


@st.composite
def blocks(draw: st.DrawFn, *, response: bool) -> dict[str, Any]:
    """Draw a block, most of them possible."""
    action = draw(st.sampled_from(["encrypt", "encrypt", "decrypt"]))
    chosen = OPENS if action == "decrypt" else ITEMS
    items = draw(st.lists(chosen, min_size=1, max_size=2, unique=True))
    options = OPTIONS
    if response:
        items = [one for one in items if "query:" not in one] or ["$.a"]
        options = SEALING if action == "encrypt" else OPENING
    block: dict[str, Any] = {
        action: items,
        **draw(st.fixed_dictionaries({}, optional=options)),
    }
    if action == "encrypt" and all(one.startswith("optional") for one in items):
        block["nothing"] = draw(st.sampled_from(["pass", "refuse"]))
    if not response:
        block["others"] = draw(WORLDS)
        if block["others"] != "pass" and draw(st.booleans()):
            block["plain"] = draw(PLAIN)
    return block


@st.composite
def rules(draw: st.DrawFn, number: int) -> dict[str, Any]:
    """Draw a rule for the path of that number."""
    pattern = f"/r{number}/{{id}}"
    rule: dict[str, Any] = {
        "name": f"rule {number}",
        "match": draw(st.sampled_from([pattern, f"POST {pattern}", f"POST,PUT {pattern}"])),
        "conversation": draw(CONVERSATIONS),
    }
    drawn = blocks(response=False)
    request = draw(st.one_of(drawn, drawn, drawn, st.sampled_from(["pass", "reject"])))
    rule["request"] = request
    if isinstance(request, dict) and request.get("others") == "seal":
        bound = {"bind": request["bind"]} if "bind" in request else {}
        rule["response"] = {"decrypt": "tokens", "on_error": "keep", **bound}
    elif draw(st.booleans()):
        rule["response"] = draw(blocks(response=True))
    if draw(st.integers(0, 6)) == 0:
        rule["mode"] = "observe"
    return rule


@st.composite
def rule_sets(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rules, without those that no configuration may hold, and one for a WebSocket."""
    drawn = [draw(rules(number)) for number in range(6)]
    kept = [one for one in drawn if possible([one])]
    assume(kept)
    socket_rule = {
        "name": "socket",
        "match": "WS /ws",
        "request": {"encrypt": draw(st.sampled_from(["$.a", "optional $.a", "text as a"]))},
        "response": {"decrypt": draw(st.sampled_from(["$.a", "tokens"])), "on_error": "keep"},
    }
    assume(possible([*kept, socket_rule]))
    return [*kept, socket_rule]


# --- drawn messages ---------------------------------------------------------------------------


@st.composite
def json_bodies(draw: st.DrawFn, tokens: list[str]) -> bytes:
    """Draw a body: values in plaintext, tokens that open and tokens that do not, and faults."""
    scalar = st.sampled_from([CANARY, "", 7, 1.10, None, [1], {"n": CANARY}, "x" * 300, "aGk="])
    token = st.sampled_from([*tokens, tokens[0][:-3], tokens[0][:-1] + "A", f"see {tokens[4]} !"])
    value = st.one_of(scalar, token)
    members: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "a": value,
                "b": st.one_of(value, st.just(json.dumps({"a": CANARY}))),
                "c": st.sampled_from(["c1", "other", 5, ""]),
                "A": value,
                "list": st.lists(st.fixed_dictionaries({"a": value}), max_size=3),
                "secret": value,
            },
        )
    )
    text = json.dumps(members).encode()
    fault = draw(st.integers(0, 12))
    if fault == 0:
        return text[:-1]
    if fault == 1:
        return b'{"a":1,"a":2}'
    return text


@st.composite
def messages(draw: st.DrawFn, count: int, tokens: list[str]) -> Wanted:
    """Draw a request and its answer."""
    token = st.sampled_from([CANARY, *tokens])
    target = f"/r{draw(st.integers(0, count))}/" + draw(
        st.sampled_from(["c1", "7", "%zz", "a%2fb"])
    )
    query = draw(st.sampled_from(["", "?q=v", "?room=c1&q=" + CANARY, "?a=1", "?room=1&room=2"]))
    headers = [JSON if draw(st.integers(0, 6)) else (b"Content-Type", b"text/plain")]
    if draw(st.booleans()):
        headers.append((b"X-Note", draw(token).encode()))
    if draw(st.booleans()):
        headers.append((b"X-Room", draw(st.sampled_from([b"c1", b"other", b"a,b"]))))
    method = draw(st.sampled_from(["POST", "POST", "PUT", "GET", "HEAD", "BREW"]))
    body = b"" if method in {"GET", "HEAD"} else draw(json_bodies(tokens))
    if not body:
        headers = headers[1:]
    kind = draw(
        st.sampled_from(
            [b"application/json"] * 4
            + [b"text/plain", b"text/html", b"text/event-stream", b"application/x-ndjson"]
        )
    )
    content = draw(json_bodies(tokens))
    if kind == b"text/event-stream":
        content = b"data: " + content + b"\n\n"
    status = draw(st.sampled_from([200, 200, 201, 404, 204, 206]))
    answer = PlayedAnswer(status, ((b"Content-Type", kind),), b"" if status == 204 else content)
    return Wanted(method, target + query, tuple(headers), body, answer)


def conversations(tokens: list[str]) -> st.SearchStrategy[Wanted]:
    """Draw a WebSocket and its messages."""
    one = st.builds(
        SocketMessage,
        st.sampled_from(["request", "response"]),
        json_bodies(tokens),
        st.just(value=False),
    )
    many = st.lists(one, min_size=1, max_size=4)
    return many.map(lambda some: Wanted("WS", "/ws", messages=tuple(some)))


# --- the law ----------------------------------------------------------------------------------


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes many minutes
    suppress_health_check=list(HealthCheck),
)
@given(drawn=rule_sets(), data=st.data())
def test_explain_tells_what_serve_does(
    world: World, drawn: list[dict[str, Any]], data: st.DataObject
) -> None:
    configuration = hold(world, drawn, data, messages(len(drawn) - 1, world.tokens))
    wanted = data.draw(conversations(world.tokens), label="WebSocket")
    world.runner.run(same(world, configuration, wanted))


FIND: dict[str, Any] = {
    "name": "find",
    "match": "GET /found",
    "request": {"search": [{"select": "query:q", "field": "said", "match": "words"}]},
    "response": {
        "decrypt": "optional $.data.*.said",
        "keep": {"items": "$.data", "matching": "q", "total": "$.total"},
    },
}
SOUGHT = (f"?q={CANARY}", f"?q={CANARY}+more", "?q=other", "?q=CAN*", "?q=...", "")


@st.composite
def found(draw: st.DrawFn, tokens: list[str]) -> Wanted:
    """Draw a search, and a list that answers it."""
    value = st.sampled_from([tokens[5], tokens[5], tokens[6], tokens[1], CANARY, None])
    rows = draw(st.lists(st.fixed_dictionaries({"n": st.integers(5, 9)}, optional={"said": value})))
    body = json.dumps({"data": rows, "total": len(rows)}).encode()
    target = f"/found{draw(st.sampled_from(SOUGHT))}"
    return Wanted("GET", target, answer=PlayedAnswer(200, (JSON,), body))


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data(), keeps=st.booleans())
def test_explain_tells_what_a_search_leaves_of_its_answer(
    world: World, data: st.DataObject, *, keeps: bool
) -> None:
    rule = {**FIND, "response": {**FIND["response"], "on_error": "keep" if keeps else "reject"}}
    configuration = settings_of([rule])
    world.runner.run(world.serving.take([rule]))
    for number in range(12):
        wanted = data.draw(found(world.tokens), label=f"search {number}")
        received, told = world.runner.run(same(world, configuration, wanted))
        shown = None if told.response is None else told.response.outgoing
        if shown is not None and not keeps:  # then nothing stays that was never sealed
            body = received.partition(b"\r\n\r\n")[2]
            for opened in (f'"{CANARY}"', '{"n": 4}'):
                body = body.replace(opened.encode(), b'"<said opened>"')
            assert body == shown
