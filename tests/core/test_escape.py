"""What opens inside of text is text there, and nothing else, and nobody escapes it twice."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto.context import Context
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.body_format import Kind
from proxy.core.formats.escaping import Escape
from proxy.core.http.message import Headers, ResponseHead
from proxy.core.planning.exchange import Messages
from proxy.core.rules.conditions import Condition
from proxy.core.rules.model import Names, Part, Rule
from proxy.core.transform import apply, plan_message, plan_request
from tests.core.explained import explain_response
from tests.factories import (
    NOW,
    SCOPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    keys_for,
    replied,
    reply,
    sent,
)

NAMES = Names(parse_source("const:clinic"), parse_source("const:c1"))
BIND: tuple[Part, ...] = ("tenant", "conversation")
TOKENS = an_item("tokens", bind=BIND)
SESSION = a_session()
SCRIPT = '<script>alert("1 & 2")</script>'
ESCAPED = "&lt;script&gt;alert(&quot;1 &amp; 2&quot;)&lt;/script&gt;"
TOM = 'Tom & Jerry <3 "it\'s"'


def token(text: str, cty: str | None = None) -> str:
    return SESSION.seal(text.encode(), Context(SCOPE), cty=cty).decode()


def a_reading(
    *,
    escape: Escape = "auto",
    kind: Kind | None = None,
    rendered: tuple[str, ...] = (),
    decrypt: tuple[str, ...] = (),
) -> Rule:
    """Return a rule that opens tokens, or the values of selectors, in responses."""
    chosen = [an_item(one, bind=BIND) for one in decrypt] or [TOKENS]
    block = replace(
        a_block(decrypt=chosen),
        escape=escape,
        format=kind,
        rendered=tuple(parse_json_selector(one) for one in rendered),
    )
    return a_rule(response=block, names=NAMES)


def typed(media: str | None) -> ResponseHead:
    headers: Headers = () if media is None else ((b"Content-Type", media.encode()),)
    return a_response(headers=headers)


def opened(document: object, rule: Rule | None = None) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads(replied(rule or a_reading(), json.dumps(document)))


def read(text: str, media: str | None, *, escape: Escape = "auto") -> str:
    """Return a text of some type as a client gets it."""
    rule = a_reading(escape=escape, kind="text")
    return replied(rule, text, typed(media)).decode()


# --- JSON ---------------------------------------------------------------------------------------


def test_a_value_that_is_all_of_a_string_is_exact() -> None:
    assert opened({"a": token(SCRIPT), "b": [token(TOM)], token("<b>"): 1}) == {
        "a": SCRIPT,
        "b": [TOM],
        "<b>": 1,
    }
    rule = a_reading(decrypt=("$.a",))
    assert opened({"a": token(SCRIPT)}, rule) == {"a": SCRIPT}


def test_a_value_in_text_without_a_tag_is_exact_unless_it_makes_one() -> None:
    assert opened(f"Re: {token(TOM)}") == f"Re: {TOM}"
    assert opened(f"> {token('a < b')}, {token('x')}") == "> a < b, x"
    for made in (SCRIPT, "</p>", "<!--", "a <b"):
        text = f"Re: {token(made)}"
        assert opened(text) == text
    first, rest = token("<"), "img src=x onerror=alert(1)>"
    assert opened(f"{first}{token(rest)}") == f"{first}{rest}"


def test_a_value_in_markup_within_json_is_escaped() -> None:
    for depth in range(3):
        text = f"<p>{token(SCRIPT)}, {token(TOM)}</p>"
        expected = f"<p>{ESCAPED}, {html.escape(TOM).replace('&#x27;', '&#39;')}</p>"
        for _ in range(depth):
            text, expected = json.dumps({"in": text}), json.dumps({"in": expected})
        assert opened([text]) == [expected]


def test_what_cannot_be_escaped_stays_and_is_counted_and_told() -> None:
    text = f"<a href='{token('javascript:alert(1)')}' title='{token(TOM)}'>{token('x')}</a>"
    applied = reply(a_reading(), json.dumps([text, token("y")]))

    assert dict(applied.counts) == {"opened": 3, "in_markup": 1}
    assert (b"Sealyard-Kept", b"1") in applied.forwardable.frame.added_headers
    assert b"javascript" not in (applied.forwardable.body or b"")


def test_what_a_block_says_is_html_is_escaped_whatever_stands_there() -> None:
    rule = a_reading(rendered=("$.title.rendered", "$.items[*].html"))
    document = {
        "title": {"raw": token(SCRIPT), "rendered": token(SCRIPT)},
        "items": [{"html": f"Private: {token(SCRIPT)}", "text": f"Re: {token(TOM)}"}],
        "nested": json.dumps({"html": token(SCRIPT)}),
    }

    assert opened(document, rule) == {
        "title": {"raw": SCRIPT, "rendered": ESCAPED},
        "items": [{"html": f"Private: {ESCAPED}", "text": f"Re: {TOM}"}],
        "nested": json.dumps({"html": SCRIPT}),
    }


def test_a_selected_value_that_is_html_is_escaped_too() -> None:
    rule = a_reading(
        rendered=("$.html", "$.inner", "$.inner.a"), decrypt=("$.html", "$.text", "$.inner.*")
    )
    document = {"html": token(SCRIPT), "text": token(SCRIPT), "inner": {"a": token(TOM)}}

    answer = opened(document, rule)

    assert (answer["html"], answer["text"]) == (ESCAPED, SCRIPT)
    assert html.unescape(answer["inner"]["a"]) == TOM
    assert opened({"a": 1}, rule) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":"<b>&\'"}', {"a": "&lt;b&gt;&amp;&#39;"}),
        ("[1,true]", [1, True]),
    ],
)
def test_what_is_html_may_be_json_as_well(text: str, expected: object) -> None:
    for rule in (a_reading(escape="html"), a_reading(escape="html", decrypt=("$.a",))):
        assert opened({"a": token(text, "json")}, rule) == {"a": expected}
        coded = token(r'"\u003cb>"', "json")
        assert opened({"a": coded}, rule) == {"a": coded}


@pytest.mark.parametrize(
    ("escape", "whole", "inside", "tagged"),
    [
        ("html", ESCAPED, f"Re: {ESCAPED}", f"<p>{ESCAPED}"),
        ("keep", SCRIPT, None, None),
        ("none", SCRIPT, f"Re: {SCRIPT}", f"<p>{SCRIPT}"),
    ],
)
def test_a_rule_says_otherwise(
    escape: Escape, whole: str, inside: str | None, tagged: str | None
) -> None:
    sealed = token(SCRIPT)
    document = [sealed, f"Re: {sealed}", f"<p>{sealed}"]
    answer = opened(document, a_reading(escape=escape))

    assert answer == [whole, inside or document[1], tagged or document[2]]


def test_what_requests_bring_is_never_escaped() -> None:
    block = replace(a_block(decrypt=[TOKENS]), escape="html")
    body = json.dumps([f"<p>{token(SCRIPT)}"])

    assert json.loads(sent(a_rule(request=block, names=NAMES), a_message(body))) == [f"<p>{SCRIPT}"]


# --- texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("media", ["text/html; charset=utf-8", "application/xml; charset=utf-8"])
def test_what_opens_in_a_page_is_text_there(media: str) -> None:
    assert read(token(SCRIPT), media) == ESCAPED
    assert read(f"<p>é {token(SCRIPT + 'é')}</p>", media) == f"<p>é {ESCAPED}é</p>"
    script = f"<script>{token('1')}</script><!-- {token('2')} -->"
    assert read(script, media) == script


@pytest.mark.parametrize("media", ["text/html", "text/html; charset=iso-8859-1", "image/svg+xml"])
def test_a_page_of_no_sure_charset_gets_no_other_bytes_than_ascii(media: str) -> None:
    assert read(f"<p>{token('é世')}", media) == "<p>&#233;&#19990;"


def test_plain_text_is_exact_unless_it_makes_a_tag() -> None:
    assert read(token(SCRIPT), "text/plain") == SCRIPT
    assert read(f"Re: {token(TOM)}", "text/plain") == f"Re: {TOM}"
    assert read(f"<p>{token(SCRIPT)}", "text/plain") == f"<p>{ESCAPED}"
    for kept, media in (
        (f"Re: {token(SCRIPT)}", "text/plain"),
        (token("é"), "text/plain; charset=latin1"),
        (token(SCRIPT), None),  # a browser guesses what it is
        (f"a,{token('b')}", "text/csv"),
        (f"x = '{token('b')}'", "text/javascript"),
        (token("b"), "text/markdown"),
    ):
        assert read(kept, media) == kept
        assert read(kept, media, escape="keep") == kept
    assert read(token(TOM), None) == TOM
    assert read(f"a,{token('b')}", "text/csv", escape="none") == "a,b"
    assert read(f"# {token(SCRIPT)}", "text/markdown", escape="html") == f"# {ESCAPED}"


def test_json_that_a_browser_may_take_for_a_page_has_no_tag_in_it() -> None:
    for media in ("text/html", "application/xml", None):
        rule = a_reading(kind="json")
        body = json.dumps({"a": token(SCRIPT), "b": f"Re: {token(TOM)}"})
        answer = replied(rule, body, typed(media))
        assert json.loads(answer) == {"a": SCRIPT, "b": f"Re: {TOM}"}
        assert not re.search(rb"[<>&]", answer)
        chosen = replied(a_reading(kind="json", decrypt=("$.a",)), body, typed(media))
        assert b"<" not in chosen
        assert json.loads(chosen)["a"] == SCRIPT
        lines = replied(a_reading(kind="ndjson"), body + "\n", typed(media))
        assert b"<" not in lines
        assert json.loads(lines)["a"] == SCRIPT
        assert b"<" not in replied(a_reading(kind="text"), body, typed(media))
        form = replied(a_reading(kind="form"), f"a={token(TOM)}", typed(media))
        assert b"a=Tom+%26+Jerry" in form


def test_so_it_is_where_each_record_has_a_block_of_its_own() -> None:
    block = replace(a_block(decrypt=[an_item("$.a", bind=BIND)]), format="ndjson")
    other = replace(
        block,
        when=(Condition(parse_json_selector("$.t"), frozenset({b'"sealed"'})),),
        decrypt=(),
        encrypt=(an_item("$.a", bind=BIND),),
    )
    rule = a_rule(response=(other, block), names=NAMES)
    lines = f'{{"t":"x","a":"{token(SCRIPT)}"}}\n{{"t":"sealed","a":"b"}}\n'

    answer = replied(rule, lines, typed("text/html")).splitlines()

    assert b"<" not in answer[0]
    assert json.loads(answer[0])["a"] == SCRIPT
    assert b"eyJ0eXAi" in answer[1]


def test_a_text_that_is_one_value_is_exact_or_escaped_by_the_rule() -> None:
    head = typed("text/html; charset=utf-8")
    for escape, expected in (("auto", SCRIPT), ("html", ESCAPED)):
        rule = a_reading(escape=escape, decrypt=("text",))  # type: ignore[arg-type]  # as above
        sealed = SESSION.seal(SCRIPT.encode(), Context(SCOPE))
        assert replied(rule, sealed, head).decode() == expected


# --- other carriers -----------------------------------------------------------------------------


def test_forms_keep_what_they_are() -> None:
    head = typed("application/x-www-form-urlencoded")
    body = f"a={token(SCRIPT)}&b=%3Cp%3E{token(SCRIPT)}&c=Re:+{token(TOM)}"
    assert parse_qs(replied(a_reading(), body, head).decode()) == {
        "a": [SCRIPT],
        "b": [f"<p>{ESCAPED}"],
        "c": [f"Re: {TOM}"],
    }
    chosen = a_reading(escape="html", decrypt=("form:a",))
    assert parse_qs(replied(chosen, f"a={token(SCRIPT)}", head).decode()) == {"a": [ESCAPED]}


@pytest.mark.parametrize(
    ("lines", "text", "expected"),
    [
        ("", f"{token(SCRIPT)}", SCRIPT),
        ("", f"<p>{token(SCRIPT)}", f"<p>{ESCAPED}"),
        ("\r\nContent-Type: text/html", token(SCRIPT), None),  # a file, which nobody reads
        ("\r\nContent-Type: text/plain", f"<p>{token(SCRIPT)}", f"<p>{ESCAPED}"),
        ("\r\nContent-Type: application/json", f'["{token(SCRIPT)}"]', json.dumps([SCRIPT])),
    ],
)
def test_each_part_is_written_as_its_own_type_says(
    lines: str, text: str, expected: str | None
) -> None:
    head = f'Content-Disposition: form-data; name="a"{lines}'
    body = f"--of-parts\r\n{head}\r\n\r\n{text}\r\n--of-parts--\r\n"
    answer = replied(a_reading(), body, typed("multipart/form-data; boundary=of-parts"))

    assert answer.decode() == body.replace(text, expected or text)
    if not lines:
        chosen = a_reading(escape="html", decrypt=("part:a",))
        whole = body.replace(text, token(SCRIPT))
        answer = replied(chosen, whole, typed("multipart/form-data; boundary=of-parts"))
        assert answer.decode() == body.replace(text, ESCAPED)


def test_each_record_is_written_by_itself() -> None:
    events = f"data: <p>{token(SCRIPT)}\n\ndata: {token(SCRIPT)}\n\n".encode()
    text = replied(a_reading(kind="sse"), events, typed("text/event-stream")).decode()
    assert text == f"data: <p>{ESCAPED}\n\ndata: {SCRIPT}\n\n"
    rule = a_reading(rendered=("$.html",))
    lines = "".join(f"{json.dumps({'html': token(SCRIPT), 'n': n})}\n" for n in range(2))
    answer = replied(rule, lines, typed("application/x-ndjson")).decode().splitlines()
    assert [json.loads(one) for one in answer] == [{"html": ESCAPED, "n": n} for n in range(2)]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (None, json.dumps([f"<p>{token(SCRIPT)}"]), json.dumps([f"<p>{ESCAPED}"])),
        (None, f"<p>{token(SCRIPT)}", f"<p>{ESCAPED}"),
        (None, token(SCRIPT), SCRIPT),
        ("text", f"Re: {token(TOM)}", f"Re: {TOM}"),
        ("socketio", f'42["m","<p>{token(SCRIPT)}"]', f'42["m","<p>{ESCAPED}"]'),
    ],
)
def test_each_message_of_a_socket_is_written_by_itself(
    kind: Kind | None, text: str, expected: str
) -> None:
    trip = Trip(
        (replace(a_reading(kind=kind), patterns=a_rule("GET /ws").patterns),),
        a_message(method="GET", target="/ws"),
    )
    plan = plan_message(Messages(trip.exchange, "response"), text.encode())
    applied = apply(plan, keys_for(plan.needs), NOW)

    assert (applied.forwardable.body or b"").decode() == expected


# --- cut tokens, and the law --------------------------------------------------------------------


def test_the_placeholder_is_text_as_well() -> None:
    cut = token("x")[:60]
    block = replace(a_block(decrypt=[TOKENS]), placeholder="<i>sealed</i>")
    rule = a_rule(response=block, names=NAMES)
    document = [f"<p>{cut}...", f"Re: {cut}...", f"<p {cut}..."]

    applied = reply(rule, json.dumps(document))

    assert json.loads(applied.forwardable.body or b"") == [
        "<p>&lt;i&gt;sealed&lt;/i&gt;...",
        *document[1:],
    ]
    assert dict(applied.counts) == {"cut": 1, "in_markup": 2}


texts = st.text(
    st.sampled_from("<>&\"'/!? abcs=;\n\\u0é世") | st.characters(codec="utf-8"), max_size=12
)
around = st.text(st.sampled_from("<>&\"'/!? abp=;-"), max_size=12)


@given(st.lists(st.tuples(around, texts), min_size=1, max_size=4), around)
def test_no_value_makes_a_tag_that_was_not_there(parts: list[tuple[str, str]], end: str) -> None:
    tags = re.compile(r"<[A-Za-z/!?]")
    text = "".join(before + token(value) for before, value in parts) + end
    whole = len(parts) == 1 and not parts[0][0] + end

    answer = opened(f"{text}")

    if not whole:
        assert len(tags.findall(answer)) <= len(tags.findall(text))
    else:
        assert answer == parts[0][1]


def test_ten_edits_change_nothing_but_what_was_edited() -> None:
    """A client that shows JSON as text, one that edits in a form of a page, one that reads raw."""
    seal = a_rule(
        request=a_block(encrypt=[an_item("$.content", bind=BIND)]),
        names=NAMES,
    )
    as_json = as_page = as_raw = TOM
    wanted = TOM
    for edit in range(10):
        wanted += f" & <{edit}> &amp;"
        for text in (as_json, as_page, as_raw):
            assert text == wanted.rsplit(f" & <{edit}>", 1)[0]
        stored = [
            json.loads(sent(seal, a_message(json.dumps({"content": f"{one} & <{edit}> &amp;"}))))
            for one in (as_json, as_page, as_raw)
        ]
        as_json = opened({"content": stored[0]["content"]})["content"]
        page = read(
            f'<form><input value="{stored[1]["content"]}"></form>', "text/html; charset=utf-8"
        )
        as_page = html.unescape(page.split('value="')[1].split('">')[0])
        wordpress = {"raw": stored[2]["content"], "rendered": f"<p>{stored[2]['content']}</p>"}
        as_raw = opened({"content": wordpress})["content"]["raw"]
    assert as_json == as_page == as_raw == wanted


def test_it_is_explained_how_each_value_would_be_written() -> None:
    sealed = token("x")
    texts = [sealed, f"Re: {sealed}", f"<p>{sealed}</p>", f"<p {sealed}"]
    trip = Trip((a_reading(),), a_message())

    explained = explain_response(trip.exchange, a_response(), json.dumps(texts).encode())

    assert [(one.action, one.note) for one in explained.values] == [
        ("opened", ""),
        ("opened", "as it is, unless that makes a tag"),
        ("opened", "escaped as HTML"),
        ("in_markup", "in markup that can hold no text there"),
    ]
    assert (explained.outgoing or b"").count(sealed.encode()) == 1
    unnamed = replace(a_reading(), names=Names(parse_source("const:clinic"), parse_source("$.c")))
    trip = Trip((unnamed,), a_message("{}"))
    plan_request(trip.exchange, b"{}")
    body = json.dumps([f"<p>{sealed}", f"<p>{sealed[:60]}..."]).encode()
    explained = explain_response(trip.exchange, a_response(), body)
    assert {one.note for one in explained.values} == {"a name that binds it is missing"}
    cut = explain_response(Trip((a_reading(),), a_message()).exchange, a_response(), body)
    assert cut.values[1].note == "cut"


# --- more layers, lines of events, and pages that a rule takes by its types ---------------------


@pytest.mark.parametrize(
    "text",
    [
        "&lt;p&gt;TOKEN&lt;/p&gt;",
        "<b>a</b> &lt;i&gt;TOKEN",
        "&amp;lt;p&amp;gt;TOKEN",
        "&#60;p>TOKEN",
    ],
)
def test_a_token_behind_coded_markup_stays(text: str) -> None:
    sealed = token(SCRIPT)
    held = text.replace("TOKEN", sealed)

    assert opened({"a": held}) == {"a": held}
    assert read(held, "text/html") == held
    assert opened({"a": held}, a_reading(escape="none")) == {"a": text.replace("TOKEN", SCRIPT)}


@pytest.mark.parametrize("end", ["\n", "\r", "\n\nevent: x\ndata: "])
def test_a_text_does_not_open_into_more_lines_of_an_event(end: str) -> None:
    stream = f"data: {token(f'a{end}b')}\n\ndata: {token('c')}\n\n"

    assert read(stream, "text/event-stream") == stream.replace(token_of(stream, 1), "c")
    assert read(stream, "text/plain").startswith(f"data: a{end}b")


def token_of(stream: str, index: int) -> str:
    return stream.split("data: ")[index + 1].strip()


@pytest.mark.parametrize(
    ("media", "body", "expected"),
    [
        ("text/html", "<p>TOKEN</p>", f"<p>{ESCAPED}</p>"),
        ("text/html", "<p>none</p>", "<p>none</p>"),
        ("application/json", '{"a":"TOKEN"}', json.dumps({"a": SCRIPT}, separators=(",", ":"))),
        ("text/plain", "a: TOKEN", "a: TOKEN"),
        ("text/csv", "a,TOKEN", "a,TOKEN"),
        ("application/octet-stream", "\x00TOKEN", "\x00TOKEN"),
    ],
)
@pytest.mark.parametrize("types", [("*/*",), ("text/*", "application/*")])
def test_tokens_of_any_type_are_read_as_that_type(
    media: str, body: str, expected: str, types: tuple[str, ...]
) -> None:
    sealed = token(SCRIPT)
    rule = a_rule(response=replace(a_block(decrypt=[TOKENS]), types=types), names=NAMES)

    found = replied(rule, body.replace("TOKEN", sealed), typed(media)).decode()
    assert found == expected.replace("TOKEN", sealed)
