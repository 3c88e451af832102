"""The law of `sealyard explain`, for forms, streams and end-to-end rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from proxy.core.explain.explanation import PlayedAnswer, Wanted
from tests.scenarios.end_to_end import a_jwt
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
from tests.scenarios.rig import TOKEN
from tests.scenarios.test_explain_is_serve import WORLDS

LARGE = CANARY * 5000
"""More than fits into a token: it becomes a sealed stream."""
FORM = b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data; boundary=cut-here"
LAW = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes many minutes
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("law")) as made:
        yield made


# --- forms --------------------------------------------------------------------------------------

PARTS = st.sampled_from(
    [
        "part:a", "optional part:a", "part:a as tight", "part:file as a", "optional part:file as a",
        "filename:file as a", "part:meta $.a", "optional part:meta $.list.*.a",
    ]
)  # fmt: skip
PAIRS = st.sampled_from(
    ["form:a", "optional form:a", "form:a as short", "form:a as tight", "form:meta $.a"]
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "already_sealed": st.sampled_from(["seal", "keep", "reject"]),
        "case_variants": st.sampled_from(["refuse", "allow"]),
        "elsewhere": st.sampled_from(["refuse", "allow"]),
        "mode": st.sampled_from(["enforce", "permissive until 2999-01-01"]),
        "type": st.sampled_from(["multipart/form-data", FORM.decode(), "*/*"]),
    },
)


@st.composite
def form_rules(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rules for forms."""
    made = []
    for number in range(5):
        kind, places = draw(st.sampled_from([("part", PARTS), ("form", PAIRS)]))
        items = draw(st.lists(places, min_size=1, max_size=2, unique=True))
        action = draw(st.sampled_from(["encrypt", "encrypt", "decrypt"]))
        if action == "decrypt":
            items = [one.replace(" as tight", "").replace(" as short", "") for one in items]
        block: dict[str, Any] = {action: items, "others": draw(WORLDS), **draw(OPTIONS)}
        if block["others"] != "pass" and draw(st.booleans()):
            block["plain"] = f"{kind}:other"
        if all(one.startswith("optional") for one in items) and action == "encrypt":
            block["nothing"] = draw(st.sampled_from(["pass", "refuse"]))
        rule = {"name": f"rule {number}", "match": f"POST /r{number}/{{id}}", "request": block}
        if block["others"] == "seal":
            rule["response"] = {"decrypt": "tokens", "on_error": "keep"}
            block["filenames"] = draw(st.sampled_from(["seal", "replace", "plain"]))
        if possible([rule]):
            made.append(rule)
    assume(made)
    return made


@st.composite
def multipart(draw: st.DrawFn, tokens: list[str]) -> bytes:
    """Draw a multipart body, some with faults."""
    value = st.sampled_from([CANARY, "", "x" * 300, LARGE, *tokens, tokens[0][:-3]])
    lines: list[str] = []
    for name in draw(st.lists(st.sampled_from(["a", "A", "file", "meta", "other"]), max_size=4)):
        named = f'Content-Disposition: form-data; name="{name}"'
        kind = []
        text = draw(value)
        if name == "file":
            named += f'; filename="{draw(st.sampled_from(["a.txt", CANARY, tokens[0]]))}"'
            kind = ["Content-Type: application/octet-stream"]
        if name == "meta":
            inner: Any = {"a": text} if draw(st.booleans()) else {"list": [{"a": text}, {"b": 1}]}
            text = json.dumps(inner)
            kind = draw(st.sampled_from([["Content-Type: application/json"], []]))
        lines += ["--cut-here", named, *kind, "", text]
    body = "\r\n".join([*lines, "--cut-here--", ""]).encode()
    fault = draw(st.integers(0, 14))
    if fault == 0:
        return body[:-6]
    if fault == 1:
        return b"before\r\n" + body
    return body.replace(b"\r\n", b"\n") if fault == 2 else body


@st.composite
def form_messages(draw: st.DrawFn, count: int, tokens: list[str]) -> Wanted:
    """Draw a request with a form, some of them in chunks."""
    if draw(st.booleans()):
        body, kind = draw(multipart(tokens)), MULTIPART
    else:
        value = st.sampled_from([CANARY, "", json.dumps({"a": CANARY}), *tokens])
        names = st.sampled_from(["a", "A", "meta", "other"])
        pairs = draw(st.lists(st.tuples(names, value), max_size=3))
        body, kind = urlencode(pairs).encode(), FORM
    headers = [(b"Content-Type", kind)]
    query = draw(st.sampled_from(["", "", "?a=1"]))
    if draw(st.booleans()):
        headers.append((b"Transfer-Encoding", b"chunked"))
        cut = draw(st.integers(1, max(len(body), 1)))
        pieces = [body[at : at + cut] for at in range(0, len(body), cut)][:50]
        pieces.append(body[sum(map(len, pieces)) :])
        body = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces if one) + b"0\r\n\r\n"
    target = f"/r{draw(st.integers(0, count))}/7{query}"
    return Wanted("POST", target, tuple(headers), body, PlayedAnswer(200, (JSON,), b"{}"))


@LAW
@given(drawn=form_rules(), data=st.data())
def test_explain_tells_of_forms_what_serve_does(
    world: World, drawn: list[dict[str, Any]], data: st.DataObject
) -> None:
    hold(world, drawn, data, form_messages(5, world.tokens))


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_form_in_chunks_stays_one_request_whatever_its_pieces(world: World, cut: int) -> None:
    """A piece that comes to nothing must not be sent as a chunk: that would end the body."""
    rule = {
        "name": "r",
        "match": "POST /r/{id}",
        "request": {"encrypt": ["optional part:file as a"], "nothing": "pass"},
    }
    headers = (
        (b"Content-Type", b"multipart/form-data; boundary=cut-here"),
        (b"Transfer-Encoding", b"chunked"),
    )
    form = b"--cut-here--\r\n"
    pieces = [form[at : at + cut] for at in range(0, len(form), cut)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"
    wanted = Wanted("POST", "/r/7", headers, body, PlayedAnswer(200, (JSON,), b"{}"))
    world.runner.run(world.serving.take([rule]))

    world.runner.run(same(world, settings_of([rule]), wanted))

    backend = world.serving.backend
    assert backend.asked == b"POST /r/7 HTTP/1.1"
    assert backend.body == form
    assert backend.raw.count(b"\r\n\r\n") == 1


# --- streams ------------------------------------------------------------------------------------

KINDS = {
    b"text/event-stream": (b"data: ", b"\n\n"),
    b"application/x-ndjson": (b"", b"\n"),
}
READING = st.sampled_from(["$.a", "optional $.a", "tokens", "optional $.list.*.a", "body as a"])
SEALING = st.sampled_from(["$.a", "optional $.a", "optional $.list.*.a", "body as a"])
OF_STREAMS = st.fixed_dictionaries(
    {},
    optional={
        "on_error": st.sampled_from(["reject", "keep"]),
        "mode": st.sampled_from(["enforce", "permissive until 2999-01-01"]),
        "sentinels": st.sampled_from([[], ["[DONE]"], ["end"]]),
        "type": st.sampled_from(["text/event-stream", "application/x-ndjson", "*/*"]),
        "escape": st.sampled_from(["auto", "none"]),
    },
)


@st.composite
def stream_rules(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rules for streams of records, and for bodies that become or were sealed streams."""
    made = []
    for number in range(5):
        rule: dict[str, Any] = {"name": f"rule {number}", "match": f"POST /r{number}/{{id}}"}
        action = draw(st.sampled_from(["encrypt", "decrypt"]))
        options = draw(OF_STREAMS)
        if action == "encrypt":
            options = {k: v for k, v in options.items() if k not in {"on_error", "escape"}}
            if draw(st.integers(0, 2)) == 0:
                options["batch"] = "end"
        items = draw(READING if action == "decrypt" else SEALING)
        rule["response"] = {action: items, **options}
        if draw(st.booleans()):
            rule["request"] = {
                "encrypt": draw(SEALING),
                "others": draw(st.sampled_from(["refuse", "pass"])),
            }
        if possible([rule]):
            made.append(rule)
    assume(made)
    return made


@st.composite
def records(draw: st.DrawFn, kind: bytes, tokens: list[str]) -> bytes:
    """Draw a stream of records, some with faults."""
    value = st.sampled_from([CANARY, 7, None, *tokens, tokens[0][:-3], f"see {tokens[4]} !"])
    before, behind = KINDS[kind]
    texts = st.one_of(
        st.builds(lambda one: json.dumps({"a": one}).encode(), value),
        st.builds(lambda one: json.dumps({"list": [{"a": one}, {"b": one}]}).encode(), value),
        st.sampled_from([b"[DONE]", b"end", b'{"n":1}', b'{"a":', b""]),
    )
    some = draw(st.lists(texts, min_size=1, max_size=5))
    whole = b"".join(before + one + behind for one in some)
    return whole if draw(st.booleans()) else whole.rstrip(b"\n")


@st.composite
def stream_messages(draw: st.DrawFn, count: int, tokens: list[str]) -> Wanted:
    """Draw a request that is answered by a stream."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    content = draw(records(kind, tokens))
    if draw(st.integers(0, 5)) == 0:
        kind, content = b"application/octet-stream", LARGE.encode()
    body = json.dumps({"a": draw(st.sampled_from([CANARY, LARGE]))}).encode()
    headers = (JSON,)
    if draw(st.integers(0, 3)) == 0:
        headers = ((b"Content-Type", b"application/x-ndjson"),)
        body = draw(records(b"application/x-ndjson", tokens))
    answer = PlayedAnswer(200, ((b"Content-Type", kind),), content)
    return Wanted("POST", f"/r{draw(st.integers(0, count))}/7", headers, body, answer)


@LAW
@given(drawn=stream_rules(), data=st.data())
def test_explain_tells_of_streams_what_serve_does(
    world: World, drawn: list[dict[str, Any]], data: st.DataObject
) -> None:
    hold(world, drawn, data, stream_messages(5, world.tokens))


# --- end to end ---------------------------------------------------------------------------------

CONTENTS = st.sampled_from([CANARY, 7, None, ["x"], {"n": CANARY}, "x" * 300])


@st.composite
def end_to_end_rules(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a rule beside a sender and one beside a reader."""
    sending = draw(st.sampled_from(["$.content", "optional $.content", "$.list.*.content"]))
    options: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "expires": st.just("1h"),
                "already_sealed": st.sampled_from(["seal", "reject"]),
                "case_variants": st.just("allow"),
            },
        )
    )
    made = [
        {
            "name": "send",
            "match": "POST /send/{id}",
            "conversation": "path:id",
            "sender": "jwt-unverified:sub",
            "recipients": draw(st.sampled_from(["$.to.*", "$.to.*.id"])),
            "request": {"encrypt": sending, **options},
        },
        {
            "name": "read",
            "match": "POST /read/{id}",
            "conversation": "path:id",
            "reader": "jwt-unverified:sub",
            "response": {
                "decrypt": draw(st.sampled_from(["$.content", "optional $.list.*.content"])),
                "on_error": draw(st.sampled_from(["reject", "keep"])),
            },
        },
    ]
    assume(possible(made))
    return made


@st.composite
def end_to_end_messages(draw: st.DrawFn, tokens: list[str]) -> Wanted:
    """Draw a message to participants, or an answer for one, some of which name nobody."""
    people = st.sampled_from(["alice", "bob"])
    to: list[Any] = draw(st.lists(people, max_size=2, unique=True))
    if draw(st.booleans()):
        to = [{"id": one} for one in to]
    body: dict[str, Any] = {"to": to, "content": draw(CONTENTS)}
    if draw(st.booleans()):
        body["list"] = [{"content": draw(CONTENTS)}, {"content": CANARY}]
    headers = [JSON]
    if draw(st.integers(0, 5)):
        headers.append((b"Authorization", f"Bearer {a_jwt('alice')}".encode()))
    content = draw(st.one_of(CONTENTS, st.sampled_from([tokens[0][:-3], "eyJ0eXAiOiJzeTEi"])))
    answer = json.dumps({"content": content, "list": [{"content": content}]}).encode()
    path = draw(st.sampled_from(["/send/c1", "/send/c1", "/read/c1"]))
    return Wanted(
        "POST", path, tuple(headers), json.dumps(body).encode(), PlayedAnswer(200, (JSON,), answer)
    )


@pytest.fixture(scope="module")
def people(world: World) -> None:
    """Have the process make keys for participants whom it stands beside."""
    world.runner.run(_enrol(world, ("alice", "sig"), ("alice", "enc"), ("bob", "enc")))


async def _enrol(world: World, *uses: tuple[str, str]) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for who, use in uses:
            url = f"http://127.0.0.1:{world.serving.admin}/v1/participants/{who}/keys"
            async with session.post(url, json={"use": use, "under": "keyring"}) as response:
                assert response.status == 201, await response.text()


@LAW
@given(drawn=end_to_end_rules(), data=st.data())
def test_explain_tells_of_end_to_end_rules_what_serve_does(
    world: World, people: None, drawn: list[dict[str, Any]], data: st.DataObject
) -> None:
    hold(world, drawn, data, end_to_end_messages(world.tokens), 8)
