"""Messages of any size for rules of every kind: what one costs must grow with its bytes alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from proxy.core.crypto.context import Context
from proxy.core.errors import MessageError
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.rules.model import Batching, Item, Names, Part, Rule
from tests.factories import (
    SCOPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    a_sid,
    an_item,
)

Work = Callable[[], object]
BOUND: Final[frozenset[Part]] = frozenset({"tenant", "conversation"})
FORM: Final[Headers] = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
PARTS: Final[Headers] = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
NDJSON: Final[Headers] = ((b"Content-Type", b"application/x-ndjson"),)
EVENTS: Final[Headers] = ((b"Content-Type", b"text/event-stream"),)
TEXT: Final[Headers] = ((b"Content-Type", b"text/plain"),)
_TENANT: Final = parse_source("const:clinic")


@dataclass(frozen=True, slots=True)
class Growth:
    """A rule and the message for it that has `n` of something."""

    name: str
    rule: Rule
    body: Callable[[int], bytes]
    headers: Headers = ((b"Content-Type", b"application/json"),)
    response: bool = False
    target: Callable[[int], str] = lambda _: "/api/messages"

    def work(self, n: int) -> Work:
        """Return what plans and applies a message of size `n`."""
        body = self.body(n)
        return partial(self._run, body, self.target(n))

    def _run(self, body: bytes, target: str) -> object:
        asked = b"{}" if self.response else body
        trip = Trip((self.rule,), a_message(asked, headers=self.headers, target=target))
        try:
            if self.response:
                return trip.response(body, a_response(headers=self.headers))
            return trip.request()
        except MessageError as error:
            return error


def _names(**sources: str) -> Names:
    return Names(tenant=_TENANT, **{part: parse_source(text) for part, text in sources.items()})


def _item(selector: str, *, bind: frozenset[Part] = BOUND, optional: bool = False) -> Item:
    return an_item(selector, bind=bind, optional=optional)


def _tokens(n: int, *, known: bool = False) -> list[str]:
    """Return tokens of n different sessions, or of one."""
    context = Context(SCOPE)
    head, *rest = a_session().seal(b"secret", context).split(b".")
    text = base64.urlsafe_b64decode(head + b"=" * (-len(head) % 4))
    if known:
        return [b".".join((head, *rest)).decode()] * n
    made = []
    for number in range(n):
        sid = base64.urlsafe_b64encode(a_sid(number + 1))
        other = text.replace(base64.urlsafe_b64encode(a_sid()), sid)
        other_head = base64.urlsafe_b64encode(other).rstrip(b"=")
        made.append(b".".join((other_head, *rest)).decode())
    return made


def _members(n: int, make: Callable[[int], object]) -> bytes:
    return json.dumps(
        {"conversationId": "c1", "items": [make(number) for number in range(n)]}
    ).encode()


_SHARED = a_rule(
    request=a_block(
        encrypt=[_item("$.items.*.card", optional=True)], names=_names(conversation="$.items.*.c")
    ),
    names=Names(),
)
_DEEP = a_rule(
    request=a_block(
        encrypt=[_item("$.items.*.notes.*.text", optional=True)],
        names=_names(conversation="$.items.*.c"),
    ),
    names=Names(),
)
_TOKENS = a_rule(
    response=a_block(decrypt=[_item("tokens")]),
    names=_names(conversation="const:c1"),
)
_FIELDS = a_rule(
    request=a_block(encrypt=[_item(f"$.f{number}", optional=True) for number in range(200)]),
    names=_names(conversation="$.conversationId"),
)
_STARS = a_rule(
    request=a_block(
        encrypt=[_item(f"$.items.*.f{number}", optional=True) for number in range(200)]
    ),
    names=_names(conversation="$.conversationId"),
)
_DOTS = a_rule(
    request=a_block(encrypt=[_item(f"$..f{number}", optional=True) for number in range(20)]),
    names=_names(conversation="$.conversationId"),
)
_LINES = a_rule(
    request=a_block(encrypt=[_item("$.card")], names=_names(conversation="$.c")),
    names=Names(),
)
_EVENTS = a_rule(
    request=a_block(
        encrypt=[_item("$.card")],
        names=_names(conversation="$.c"),
        types=("text/event-stream",),
    ),
    names=Names(),
)
_FORM = a_rule(
    request=a_block(encrypt=[_item("form:card", optional=True)]),
    names=_names(conversation="const:c1"),
)
_PART = a_rule(
    request=a_block(encrypt=[_item("part:card", optional=True)]),
    names=_names(conversation="const:c1"),
)
_PLAIN = a_rule(
    request=a_block(encrypt=[_item("$.card", optional=True)]),
    names=_names(conversation="const:c1"),
)
_QUERY = a_rule(
    request=a_block(encrypt=[_item("$.card", optional=True)]),
    names=_names(conversation="query:conversationId"),
)
_EVENTS_BACK = a_rule(
    response=a_block(decrypt=[_item("$.card")], names=_names(conversation="$.c")),
    names=Names(),
)
_DELTAS = a_rule(
    response=replace(
        a_block(encrypt=[_item("$.card")], names=_names(conversation="$.c")),
        batch=Batching(None, (parse_json_selector("$.n"),)),
    ),
    names=Names(),
)
_KEEPING = replace(
    _TOKENS,
    response=tuple(replace(one, keep_unopened=True) for one in _TOKENS.response),  # type: ignore[union-attr]
)


def _text_tokens(n: int) -> bytes:
    return json.dumps([f"Re: {one} and on" for one in _tokens(n, known=True)]).encode()


def _one_text(n: int) -> bytes:
    return json.dumps({"text": " ".join(_tokens(n, known=True))}).encode()


def _nested(n: int) -> bytes:
    return json.dumps({"text": json.dumps({"inner": json.dumps(_tokens(n, known=True))})}).encode()


GROWTHS: Final = (
    Growth(
        "values bound by a name of their own element",
        _SHARED,
        lambda n: _members(n, lambda at: {"c": f"c{at}", "card": "4111"}),
    ),
    Growth(
        "values bound by a name of an element around",
        _DEEP,
        lambda n: _members(n, lambda at: {"c": f"c{at}", "notes": [{"text": "a"}]}),
    ),
    Growth(
        "many values in one element",
        _DEEP,
        lambda n: json.dumps({"items": [{"c": "c1", "notes": [{"text": "a"}] * n}]}).encode(),
    ),
    Growth(
        "opened values",
        _TOKENS,
        lambda n: json.dumps(_tokens(n, known=True)).encode(),
        response=True,
    ),
    Growth(
        "tokens of sessions that nobody knows",
        _TOKENS,
        lambda n: json.dumps(_tokens(n)).encode(),
        response=True,
    ),
    Growth("tokens inside other text", _TOKENS, _text_tokens, response=True),
    Growth("tokens in one text", _TOKENS, _one_text, response=True),
    Growth("tokens in documents in strings", _TOKENS, _nested, response=True),
    Growth(
        "beginnings of tokens",
        _KEEPING,
        lambda n: b'{"a":"%s"}' % (b"eyJ0eXAiOiJzeTEi" * n),
        response=True,
    ),
    Growth(
        "beginnings of tokens, apart",
        _KEEPING,
        lambda n: b'{"a":"%s"}' % (b"eyJ0eXAiOiJzeTEi " * n),
        response=True,
    ),
    Growth(
        "beginnings of tokens, in strings",
        _KEEPING,
        lambda n: b'[%s"a"]' % (b'"eyJ0eXAiOiJzeTEi",' * n),
        response=True,
    ),
    Growth(
        "beginnings of short tokens",
        _KEEPING,
        lambda n: b'{"a":"%s"}' % (b"sy1." * n),
        response=True,
    ),
    Growth(
        "beginnings of short tokens, apart",
        _KEEPING,
        lambda n: b'{"a":"%s"}' % (b"sy1.A " * n),
        response=True,
    ),
    Growth(
        "beginnings of tokens in text",
        _KEEPING,
        lambda n: b"eyJ0eXAiOiJzeTEi." * n,
        headers=TEXT,
        response=True,
    ),
    Growth(
        "beginnings of tokens, escaped",
        _KEEPING,
        lambda n: b'{"a":"%s"}' % (b'\\"eyJ0eXAiOiJzeTEi' * n),
        response=True,
    ),
    Growth(
        "members beside many selectors",
        _FIELDS,
        lambda n: json.dumps({"conversationId": "c1", **{f"x{at}": 1 for at in range(n)}}).encode(),
    ),
    Growth(
        "elements below many selectors",
        _STARS,
        lambda n: _members(n, lambda _: {"f1": "x", "x": 1}),
    ),
    Growth("empty elements below many selectors", _STARS, lambda n: _members(n, lambda _: {})),
    Growth("lists below many selectors", _STARS, lambda n: _members(n, lambda _: 1)),
    Growth(
        "members below selectors at any depth",
        _DOTS,
        lambda n: json.dumps(
            {"conversationId": "c1", "items": [{"x": {"f1": "a"}} for _ in range(n)]}
        ).encode(),
    ),
    Growth(
        "nested members below selectors at any depth",
        _DOTS,
        lambda n: b'{"conversationId":"c1","a":' + b"[" * 30 + b"1," * n + b"1" + b"]" * 30 + b"}",
    ),
    Growth("lines", _LINES, lambda n: b'{"c":"c1","card":"4"}\n' * n, headers=NDJSON),
    Growth(
        "lines of many conversations",
        _LINES,
        lambda n: b"".join(b'{"c":"c%d","card":"4"}\n' % at for at in range(n)),
        headers=NDJSON,
    ),
    Growth("short lines", _LINES, lambda n: b'{"c":"a","card":""}\n' * n, headers=NDJSON),
    Growth("events", _EVENTS, lambda n: b'data: {"c":"c1","card":"4"}\n\n' * n, headers=EVENTS),
    Growth(
        "events opened",
        _EVENTS_BACK,
        lambda n: b'data: {"c":"c1","card":"4"}\n\n' * n,
        headers=EVENTS,
        response=True,
    ),
    Growth(
        "deltas joined",
        _DELTAS,
        lambda n: b"".join(b'data: {"c":"c1","card":"4","n":%d}\n\n' % at for at in range(n)),
        headers=EVENTS,
        response=True,
    ),
    Growth(
        "deltas apart",
        _DELTAS,
        lambda n: b"".join(b'data: {"c":"c1","card":"4","m":%d}\n\n' % at for at in range(n)),
        headers=EVENTS,
        response=True,
    ),
    Growth(
        "sentinels",
        _EVENTS_BACK,
        lambda n: b'data: {"c":"c1","card":"4"}\n\n' + b"data: [DONE]\n\n" * n,
        headers=EVENTS,
        response=True,
    ),
    Growth(
        "lines of one event",
        _EVENTS,
        lambda n: b'data: {"c":"c1","card":"4"\ndata: }\n' + b"data: \n" * n + b"\n",
        headers=EVENTS,
    ),
    Growth(
        "comments between events",
        _EVENTS,
        lambda n: b": c\n" * n + b'data: {"c":"c1","card":"4"}\n\n',
        headers=EVENTS,
    ),
    Growth(
        "pairs of a form",
        _FORM,
        lambda n: b"&".join(b"a%d=1" % at for at in range(n)) + b"&card=4",
        headers=FORM,
    ),
    Growth("a long name in a form", _FORM, lambda n: b"card=4&%" + b"25" * n + b"=1", headers=FORM),
    Growth(
        "a nested name in a form", _FORM, lambda n: b"card=4&" + b"[a" * n + b"=1", headers=FORM
    ),
    Growth(
        "escaped names in a form", _FORM, lambda n: b"card=4" + b"&%61%62%63=1" * n, headers=FORM
    ),
    Growth(
        "long names in a form",
        _FORM,
        lambda n: b"card=4" + (b"&" + b"%61" * 500 + b"=1") * n,
        headers=FORM,
    ),
    Growth(
        "dotted name in a form", _FORM, lambda n: b"card=4&" + b"a. ." * n + b"=1", headers=FORM
    ),
    Growth("a long value of a form", _FORM, lambda n: b"card=" + b"%41" * n, headers=FORM),
    Growth(
        "parts of a form",
        _PART,
        lambda n: (
            b"".join(
                b'--of-parts\r\nContent-Disposition: form-data; name="a%d"\r\n\r\nx\r\n' % at
                for at in range(n)
            )
            + b'--of-parts\r\nContent-Disposition: form-data; name="card"\r\n\r\n4\r\n'
            b"--of-parts--\r\n"
        ),
        headers=PARTS,
    ),
    Growth(
        "a part with dashes",
        _PART,
        lambda n: (
            b'--of-parts\r\nContent-Disposition: form-data; name="card"\r\n\r\n'
            + b"\r\n--" * n
            + b"\r\n--of-parts--\r\n"
        ),
        headers=PARTS,
    ),
    Growth(
        "members that are not ASCII",
        _PLAIN,
        lambda n: json.dumps(
            {"card": "4", **{f"ä{at}": 1 for at in range(n)}}, ensure_ascii=False
        ).encode(),
    ),
    Growth(
        "escaped members",
        _PLAIN,
        lambda n: json.dumps({"card": "4", **{f"ä{at}": 1 for at in range(n)}}).encode(),
    ),
    Growth(
        "members",
        _PLAIN,
        lambda n: json.dumps({"card": "4", **{f"a{at}": 1 for at in range(n)}}).encode(),
    ),
    Growth(
        "constructors",
        _PLAIN,
        lambda n: b'{"card":"4"' + b',"constructor":{}' * (8 * n) + b"}",
    ),
    Growth(
        "constructors in elements",
        _STARS,
        lambda n: b'{"conversationId":"c1","items":[{}' + b',{"constructor":{}}' * (8 * n) + b"]}",
    ),
    Growth("elements", _PLAIN, lambda n: b'{"card":"4","a":[' + b"1," * n + b"1]}"),
    Growth(
        "values that read like the name",
        _PLAIN,
        lambda n: b'{"card":"4","a":[' + b'"card",' * n + b"1]}",
    ),
    Growth("a value with escapes", _PLAIN, lambda n: b'{"card":"' + b"\\u00e4" * n + b'"}'),
    Growth("a long value", _PLAIN, lambda n: b'{"card":"' + b"a" * n + b'"}'),
    Growth("white space", _PLAIN, lambda n: b'{"card":' + b" " * n + b'"a"}'),
    Growth(
        "parameters of a query",
        _QUERY,
        lambda _: b'{"card":"4"}',
        target=lambda n: "/api/messages?conversationId=c1" + "&a=1" * n,
    ),
    Growth(
        "a name in a query",
        _QUERY,
        lambda _: b'{"card":"4"}',
        target=lambda n: "/api/messages?conversationId=c1&" + "%25" * n,
    ),
)
