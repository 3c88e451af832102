"""Where a token stands in markup, and how a value is written there."""

from __future__ import annotations

import html
import re
import time
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.formats.markup import Language, Spelling, escaped, makes_tag, spellings
from proxy.core.policy import PIECE_BYTES

T = b"eyJ_T"
# {t}, {a}: a value is written there escaped, as text or in an attribute; {p}: as it is; {c}: not.
IN_HTML = (
    b"<p>{t}</p>",
    b"{t}",
    b"<p>a < b {t} &amp; c",
    b"<!doctype html><title>{t}</title><textarea>{t}</textarea>",
    b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://x/y.dtd"><p>{t}',
    b"<!-- a > b --><p>{t}</p><!-- {c} --><p>{t}",
    b"<!--[if IE]><p>{c}</p><![endif]--><p>{t}",
    b"<input value='{a}' title=\"{a}\" TITLE = '{a}' data-title='{c}' value={c}>",
    b'<img alt="a {a} b" src="{c}" onerror="{c}" style="{c}" placeholder="{a}"/>{t}',
    b'<a href="/x?{c}" title="&lt;b&gt;{c}">{t}</a>',
    b'<a title="<b>{c}">{t}</a>',
    b"<p {c}>{t}</p {c}>{c}",
    b"<{c}>x</{c}>{t}",
    b"<script>x='{c}'</script>{t}<style>{c}</style>{t}",
    b"<SCRIPT>if (a</b) '<p>{c}'</Script >{t}",
    b"<script><!-- <script> {c} </script> {c} --></script>{c}",
    b"<script>{c}",
    b"<script/>{c}</script>{t}",
    b"<svg><style>{c}</style><title>{c}</title></svg>{t}",
    b"<svg/><svg class='i'><path d='{c}'/></svg><p>{t}",
    b'<svg><style><a title="</style>">{c}',
    b"<math><mi>{c}</mi></math>{t}",
    b"<noscript><img src='/x'>{c}</noscript>{t}",
    b'<noscript><p title="</noscript>{c}">{c}',
    b"<iframe srcdoc='{c}'>{c}</iframe><xmp>{c}</xmp>{t}",
    b"<textarea><b>{c}</b></textarea>{t}<plaintext>{c}",
    b"<!--><script>{c}</script>--><p>{c}",
    b"<!---><p>{c}--><p>{c}",
    b"<!-- --!><p>{c}--><p>{c}",
    b"<!-- {c}",
    b"<![CDATA[ {c} ]]>{t}",
    b"<![CDATA[ > {c} ]]>{c}",
    b"<![CDATA[ {c}",
    b"<?php echo '{c}' ?>{t}",
    b"<?php if (a > b) '{t}' ?>{t}",
    b"</>{c}</ x>{c}",
    b'<a "b>{c}',
    b"<a b='{c}",
    b'<a b=c"{c}">{c}',
    b"<a b c / d=e/f {c}=g>{t}",
    b"<b></svg>{t}</b>{t}",
    b"<p>&lt;b&gt;{c}&lt;/b&gt;</p>{t}",
    b"<p>1 &lt; 2 {t}</p>",
    b'<content type="html">{c}</content>{t}<description>{t}</description>',
)
IN_LAYERS = (
    b"<input value='{{&quot;a&quot;: &quot;{c}&quot;}}'><input value='[draft] {a}'>",
    b'<div>{{"a": "{c}", "b": "{c}"}}</div><p>{t}</p><p>{{ {t} }} {t}</p>',
    b'<b>x</b> [&#34;{c}&#34;] <i>{t}</i>{t} ["{t}"]',
)
IN_XML = (
    b"<?php if (a > b) '{c}' ?><a>{t}</a><?php {c}",
    b'<?xml version="1.0" encoding="utf-8"?><a>{t}</a>',
    b"<rss><title>{t}</title><description>&lt;p&gt;{c}&lt;/p&gt;</description>{t}</rss>",
    b"<a>&amp;lt;p {c}</a><a>1 &#60; 2 {t}</a><a>&#x3C;p&#x3E;{c}</a>",
    b"<a><![CDATA[<p>{c}</p>]]>{t}</a>",
    b"<a><![CDATA[<p>{c}</a>",
    b"<html><script>{c}</script><style/>{t}<svg><title>{c}</title></svg>{t}</html>",
    b"<feed><title type=\"html\">{c}</title><content type='text/html'>{c}</content>{t}</feed>",
    b'<feed><summary type="text">{t}</summary><title>{t}</title></feed>',
    b'<feed><link type="html">{t}</link></feed>',
    b'<feed><content type="html"/>{t}</feed>',
    b"<rss v='2'><item><title>{t}</title><description>{c}</description>{t}</item></rss>",
    b"<rss><content:encoded>{c}<![CDATA[{c}]]></content:encoded>{t}</rss>",
    b"<order><description>{t}</description></order>",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>{c}</a>",
)
IN_NEITHER = (
    b"Re: {p}",
    b"Tom <tom@example.org> wrote: {p}",
    b"see <https://example.org> {p} 1 < 2 {p}",
    b"<tom@ {c} > {p}",
    b"a <b {c}",
    b"a <{c}> {p}",
    b"<p>{t}",
    b"<br/>{t}",
    b"<my-tag>{t}<x:y>{t}",
    b"&lt;p&gt; {c} &lt;/p&gt;",
    b"&amp;lt;p {c}",
    b"1 &lt; 2 {p}",
)


KINDS: dict[bytes, Spelling] = {b"t": "text", b"a": "attribute", b"p": "plain", b"c": "closed"}
MARK = re.compile(rb"\{([tapc])\}")


def found(text: bytes, language: Language | None) -> list[Spelling]:
    spans = [one.span() for one in re.finditer(re.escape(T), text)]
    return list(spellings(text, spans, language))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        *((text, "html") for text in IN_HTML),
        *((text.replace(b"{{", b"{").replace(b"}}", b"}"), "html") for text in IN_LAYERS),
        *((text, "xml") for text in IN_XML),
        *((text, None) for text in IN_NEITHER),
    ],
)
def test_where_a_value_can_stand(text: bytes, language: Language | None) -> None:
    assert found(MARK.sub(T, text), language) == [KINDS[one] for one in MARK.findall(text)]


@pytest.mark.parametrize(
    ("border", "expected"),
    [(b"<a", "closed"), (b"<a@>", "plain"), (b">", "plain"), (b"<1", "plain"), (b"><a", "closed")],
)
def test_a_border_counts_wherever_pieces_of_the_text_end(border: bytes, expected: str) -> None:
    for at in range(PIECE_BYTES - 4, PIECE_BYTES + 3):
        assert found(b"x" * at + border + b"x" + T, None) == [expected]


values = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cn"]) | st.sampled_from("\n\t\r")
)


@given(value=values, spelling=st.sampled_from(["text", "attribute"]), ascii_only=st.booleans())
def test_markup_holds_a_value_and_nothing_else(
    value: str, spelling: Spelling, *, ascii_only: bool
) -> None:
    written = escaped(value, spelling, ascii_only=ascii_only)

    assert written is not None
    assert not set("<>\"'") & set(written)
    assert value == html.unescape(written)
    assert written.isascii() or not ascii_only
    around = f'<a b="{written}"/>' if spelling == "attribute" else f"<a>{written}</a>"
    read = ET.fromstring(around)  # noqa: S314 - of our own making
    assert value == (read.get("b") if spelling == "attribute" else read.text or "")


@pytest.mark.parametrize("value", ["\0", "a\x1b(B", "\x0c", "\x85", "\uffff"])
def test_what_markup_cannot_hold_is_not_written(value: str) -> None:
    assert escaped(value, "text") is None


@pytest.mark.parametrize(
    ("value", "behind", "makes"),
    [
        ("<b", b"", True),
        ("a </b>", b"", True),
        ("<!--", b"", True),
        ("<?x", b"", True),
        ("x<", b"s", True),
        ("x<", b" ", False),
        ("I <3 you", b"", False),
        ('a < b > c & "d"', b"x", False),
    ],
)
def test_a_value_makes_a_tag_alone_or_with_what_follows(
    value: str, behind: bytes, *, makes: bool
) -> None:
    assert makes_tag(value, behind) == makes


@pytest.mark.timing
@pytest.mark.parametrize(
    "text",
    [
        b"<a " * 10_000 + T,
        b"<a b='" * 10_000 + T,
        b"<!-- " * 10_000 + T,
        b"<script>" * 10_000 + T,
        b"<noscript>" * 10_000 + T,
        b"<svg>" * 10_000 + T,
        b"<![CDATA[ " * 10_000 + T,
        b"<b" + b" a" * 20_000 + b">" + T,
        (b"<p>" + T) * 3_000,
        b"<b" + T * 3_000,
        b"</a" * 10_000 + T,
        b"<p>" + b"&lt;" * 10_000 + T,
    ],
)
@pytest.mark.parametrize("language", ["html", "xml", None])
def test_it_takes_as_long_as_there_is_text(text: bytes, language: Language | None) -> None:
    began = time.process_time()
    found(text, language)

    assert time.process_time() - began < 2.0
