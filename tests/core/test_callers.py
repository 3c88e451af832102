"""Who gets what: values, masks, tokens and nothing, told apart by callers in the engine alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qs, quote

import pytest

from proxy.core.callers import VerifiedCaller
from proxy.core.crypto.context import Context
from proxy.core.errors import (
    CallerMayNotOpen,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers, ResponseHead
from proxy.core.rules.audience import CallerAudience, Mask, Shown
from proxy.core.rules.model import Behaviour, Block, Item, Names, Rule, Verdict
from proxy.core.transform import (
    Applied,
    pass_request,
)
from proxy.core.values.masks import BULLET
from tests.factories import (
    JSON_TYPE,
    SCOPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
)

LAST_FOUR = Mask(last=4)
CANARY: Final = "4111-canary-1234"
HIDDEN: Final = BULLET * 12 + "1234"
EACH: Final[Mapping[str, Shown]] = {
    "doctor": "value",
    "billing": LAST_FOUR,
    "clerk": "token",
    "student": "absent",
    "guest": "refuse",
}
CALLERS: Final = tuple(EACH)
EVERYBODY: Final = CallerAudience(tuple(EACH.items()))
NAMES: Final = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
CONTENT: Final = an_item("$.*.content")
PURPOSE: Final = "x-purpose-of-use"


def seen(item: Item | str, audience: CallerAudience = EVERYBODY) -> Item:
    item = an_item(item) if isinstance(item, str) else item
    return replace(item, audience=audience)


def listening(
    *opened: Item | Block, request: Behaviour | Block = Verdict.PASS, match: str = "/x"
) -> Rule:
    blocks = tuple(one if isinstance(one, Block) else a_block(decrypt=[one]) for one in opened)
    made = a_rule(match, request=request, response=blocks, names=NAMES)
    return replace(
        made,
        callers=CALLERS,
        deciding=(b"Authorization",),
        purposes=frozenset({"treatment", "billing"}),
    )


def sealed(
    text: str | bytes, field: str = "content", *, cty: str | None = None, kind: str | None = None
) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return a_session().seal(raw, Context(SCOPE, field, kind=kind), cty=cty).decode()


def asked(
    rule: Rule,
    caller: str | None,
    *,
    method: str = "GET",
    target: str = "/x",
    body: str = "",
    headers: Headers = (),
    expires: float | None = None,
) -> Trip:
    headers = (*JSON_TYPE, *headers) if body else headers
    made = Trip((rule,), a_message(body, method=method, target=target, headers=headers))
    made.exchange.caller = None if caller is None else VerifiedCaller(caller, expires=expires)
    return made


def answered(
    rule: Rule, caller: str | None, body: str | bytes, head: ResponseHead | None = None
) -> Applied:
    trip = asked(rule, caller)
    pass_request(trip.exchange)
    applied = trip.response(body, head)
    assert applied is not None
    return applied


def got(rule: Rule, caller: str | None, body: str | bytes, head: ResponseHead | None = None) -> str:
    return (answered(rule, caller, body, head).forwardable.body or b"").decode()


# --- the matrix ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """A format of answers: its rule, an answer with a value, and what is read of it again."""

    opened: Item | Block
    head: ResponseHead
    write: Callable[[str], str]
    read: Callable[[str], object]
    field: str = "content"
    kind: str | None = None
    cty: str | None = None
    nothing: object = ""


def typed(media: str) -> ResponseHead:
    return a_response(headers=((b"Content-Type", media.encode()),))


def part(body: str) -> str:
    return body.split("\r\n\r\n", 1)[1].rsplit("\r\n--b--", 1)[0]


def multipart(token: str) -> str:
    head = 'Content-Disposition: form-data; name="content"'
    return f"--b\r\n{head}\r\n\r\n{token}\r\n--b--\r\n"


FORMATS: Final[dict[str, Format]] = {
    "member": Format(
        seen(CONTENT),
        a_response(),
        lambda token: json.dumps([{"id": 1, "content": token, "z": 2}]),
        lambda body: json.loads(body)[0].get("content"),
        nothing=None,
    ),
    "element": Format(
        seen(an_item("$.list.*", field="content")),
        a_response(),
        lambda token: json.dumps({"list": [token, token]}),
        lambda body: json.loads(body)["list"][1],
        nothing=None,
    ),
    "anywhere": Format(
        seen(an_item("$..content")),
        a_response(),
        lambda token: json.dumps({"a": {"b": [{"content": token}]}}),
        lambda body: json.loads(body)["a"]["b"][0].get("content"),
        nothing=None,
    ),
    "text of JSON": Format(
        seen(an_item("$.args json:$.content", field="content")),
        a_response(),
        lambda token: json.dumps({"args": json.dumps({"content": token})}),
        lambda body: json.loads(json.loads(body)["args"]).get("content"),
        nothing=None,
    ),
    "tokens": Format(
        replace(
            a_block(decrypt=[seen(an_item("tokens", bind={"tenant", "conversation"}))]),
            types=("text/*",),
        ),
        typed("text/plain"),
        lambda token: f"say {token}!",
        lambda body: body.removeprefix("say ").removesuffix("!"),
        field="",
    ),
    "form": Format(
        seen(an_item("form:content", field="content")),
        typed("application/x-www-form-urlencoded"),
        lambda token: f"id=1&content={quote(token)}",
        lambda body: parse_qs(body, keep_blank_values=True)["content"][0],
    ),
    "part": Format(
        seen(an_item("part:content", field="content")),
        typed("multipart/form-data; boundary=b"),
        multipart,
        part,
    ),
    "lines": Format(
        seen(an_item("$.content")),
        typed("application/x-ndjson"),
        lambda token: json.dumps({"content": token}) + "\n",
        lambda body: json.loads(body).get("content"),
        nothing=None,
    ),
    "events": Format(
        seen(an_item("$.content")),
        typed("text/event-stream"),
        lambda token: f"data: {json.dumps({'content': token})}\n\n",
        lambda body: json.loads(body.removeprefix("data: ")).get("content"),
        nothing=None,
    ),
    "text": Format(
        replace(a_block(decrypt=[seen(an_item("text", field="content"))]), types=("text/*",)),
        typed("text/plain"),
        lambda token: token,
        lambda body: body,
    ),
    "header": Format(
        seen(an_item("header:x-note", field="content")),
        a_response(),
        lambda _: "{}",
        lambda body: body,
    ),
}
OUTCOMES: Final = {
    "doctor": ("opened", CANARY),
    "billing": ("masked", HIDDEN),
    "clerk": ("token", None),
    "student": ("absent", None),
}


@pytest.mark.parametrize("caller", OUTCOMES)
@pytest.mark.parametrize("name", FORMATS)
def test_each_caller_gets_its_own_in_each_format(name: str, caller: str) -> None:
    one = FORMATS[name]
    context = Context(SCOPE, one.field or None)
    token = a_session().seal(CANARY.encode(), context).decode()
    head = one.head
    if name == "header":
        head = a_response(headers=(*JSON_TYPE, (b"X-Note", token.encode())))
    applied = answered(listening(one.opened), caller, one.write(token), head)

    outcome, expected = OUTCOMES[caller]
    body = (applied.forwardable.body or b"").decode()
    found = one.read(body)
    if name == "header":
        raw = applied.forwardable.head.headers[1][1]
        found = raw.decode()
    if caller == "clerk":
        expected = token
    assert found == (one.nothing if caller == "student" else expected)
    assert (CANARY in body) <= (caller == "doctor")
    count = 2 if name == "element" else 1
    item = one.opened.decrypt[0] if isinstance(one.opened, Block) else one.opened
    assert applied.shown == {(item.field, outcome): count}
    assert applied.counts == {outcome: count}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("caller", [None, "guest", "nobody-known"])
def test_who_is_refused_is_refused_by_the_head_of_the_request(
    name: str, caller: str | None
) -> None:
    rule = listening(FORMATS[name].opened)
    if caller == "nobody-known":
        rule = replace(rule, callers=(*CALLERS, caller))
    with pytest.raises(CallerMayNotOpen):
        pass_request(asked(rule, caller).exchange)
