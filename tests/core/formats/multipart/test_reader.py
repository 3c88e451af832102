"""Forms in parts: contents come back, nothing else changes, and no spelling gets past its rule."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto import sealed_stream
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import JWE_PREFIX, Form
from proxy.core.errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    InvalidExpression,
    MissingValue,
    OpenFailed,
    SealyardError,
    UnsupportedBody,
    ValueTooLong,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.multipart import reader
from proxy.core.formats.multipart.reader import Boundary
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.core.rules.model import Item, Names, Rule
from proxy.core.transform import Applied, plan_request
from tests.core.explained import explain_request
from tests.factories import (
    JSON_TYPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    reply,
    send,
    sent,
    with_block,
)

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[3] / "vectors" / "multipart.jsonl").read_text().splitlines()
]
TYPE = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
CANARY = b"4111-CANARY"
SMALL, LARGE = 64 * 1024, 64 * 1024 + 1


def an_item_of(written: str, *, form: Form = "jwe", max_chars: int | None = None) -> Item:
    selector = written.removeprefix("optional ")
    field = "file name" if selector.startswith("filename:") else selector.rpartition(":")[2]
    optional = written != selector
    return an_item(selector, field=field, form=form, max_chars=max_chars, optional=optional)


ALL = [an_item_of(one) for one in ("part:card", "optional part:file", "optional filename:file")]
SEAL = a_rule(request=a_block(encrypt=ALL), names=NAMES)
OPEN = a_rule(request=a_block(decrypt=ALL), names=NAMES)
TOKENS = a_rule(
    request=a_block(decrypt=[an_item("tokens", bind=["tenant", "conversation"])]), names=NAMES
)


def a_part(
    name: str, content: bytes = b"", *lines: str, filename: str | None = None, quote: str = '"'
) -> bytes:
    named = f"Content-Disposition: form-data; name={quote}{name}{quote}"
    if filename is not None:
        named += f"; filename={quote}{filename}{quote}"
    return "\r\n".join([named, *lines, "", ""]).encode() + content


def a_body(*parts: bytes) -> bytes:
    return b"".join(b"--of-parts\r\n%b\r\n" % one for one in parts) + b"--of-parts--\r\n"


def through(rule: Rule, body: bytes, headers: Headers = TYPE, query: str = "") -> bytes:
    return sent(rule, a_message(body, headers=headers, target=f"/api/messages{query}"))


def applied(rule: Rule, body: bytes, headers: Headers = TYPE) -> Applied:
    return send(rule, a_message(body, headers=headers))


def a_token(
    text: bytes, field: str | None = "card", kind: str | None = None, cty: str | None = None
) -> bytes:
    return a_session().seal(text, Context(Scope("clinic", "c1"), field, kind=kind), cty=cty)


def a_frame(content: bytes, media: str = "image/png", field: str = "file") -> bytes:
    context = Context(Scope("clinic", "c1"), field, kind="stream")
    head, sealer = sealed_stream.begin(a_session(), context, media)
    return head + sealer.update(content) + sealer.finish()


def parts_of(body: bytes) -> list[bytes]:
    return [
        body[one.start : one.end]
        for one in reader.parts(body, Boundary(b"--of-parts", quoted=False))
    ]


# --- the frozen oddities -------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_every_oddity_is_sealed_or_refused(
    row: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.urandom", bytes)  # a token could hold `--X-1` by chance
    rule = a_rule(request=a_block(encrypt=[an_item_of("part:card")]), names=NAMES)
    headers = ((b"Content-Type", row["content_type"].encode("latin-1")),)
    body = row["body"].encode("latin-1")

    if row["expect"] == "sealed":
        came = through(rule, body, headers)
        assert CANARY not in came
        assert JWE_PREFIX in came
        return
    with pytest.raises(SealyardError) as caught:
        through(rule, body, headers)
    assert (row["expect"], True) == (caught.value.code, caught.value.status in {400, 415})


def test_the_oddities_are_mostly_refused_and_each_has_a_name_of_its_own() -> None:
    assert len(ROWS) == len({row["id"] for row in ROWS})
    assert sum(row["expect"] != "sealed" for row in ROWS) > 100


# --- laws ----------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=12)
contents = st.one_of(
    st.binary(max_size=40),
    st.lists(st.sampled_from([b"\r\n", b"--", b"--of-", b"parts", b"\n", b"\0", b"a: b"])).map(
        b"".join
    ),
).filter(lambda one: b"--of-parts" not in one)
others = st.builds(
    a_part,
    st.sampled_from(["a", "b c", "x%22y", "é", "note"]),
    contents,
    filename=st.none() | st.sampled_from(["", "a.txt", "ü %22.png"]),
)
lines = st.sampled_from(
    [(), ("Content-Type: text/plain",), ("Content-Type: Text/Plain; charset=UTF-8",)]
)


def spliced(before: list[bytes], part: bytes, after: list[bytes]) -> tuple[bytes, int, int]:
    """Return a body, and where in it the part lies, counted from both ends."""
    body = a_body(*before, part, *after)
    start = len(b"".join(b"--of-parts\r\n%b\r\n" % one for one in before)) + len(b"--of-parts\r\n")
    return body, start, len(body) - start - len(part)


@given(st.lists(others, max_size=3), texts, lines, st.lists(others, max_size=3))
def test_a_value_comes_back_and_no_other_byte_changes(
    before: list[bytes], value: str, told: tuple[str, ...], after: list[bytes]
) -> None:
    content = value.encode()
    if b"--of-parts" in content:
        return
    body, start, behind = spliced(before, a_part("card", content, *told), after)

    sealed = through(SEAL, body)

    assert body[:start] == sealed[:start]
    assert body[len(body) - behind :] == sealed[len(sealed) - behind :]
    head, _, token = sealed[start : len(sealed) - behind].partition(b"\r\n\r\n")
    assert head == a_part("card", b"", *told).removesuffix(b"\r\n\r\n")
    assert token.startswith(JWE_PREFIX)
    assert body == through(OPEN, sealed)


@given(
    st.lists(others, max_size=2),
    contents | st.integers(SMALL - 1, LARGE + 1).map(lambda size: b"\xff" * size),
    st.sampled_from(["", "image/png", "text/plain; charset=utf-16", "application/jose"]),
    st.sampled_from(["a.png", "ü x.png", "a%22b", "-"]),
    st.booleans(),
    st.booleans(),
    st.lists(others, max_size=2),
)
def test_a_file_comes_back_with_its_type_and_name_and_no_other_byte_changes(  # noqa: PLR0917 - each is drawn
    before: list[bytes],
    content: bytes,
    media: str,
    filename: str,
    quoted: bool,  # noqa: FBT001 - drawn
    measured: bool,  # noqa: FBT001 - drawn
    after: list[bytes],
) -> None:
    told = [f"Content-Type: {media}"] if media else []
    told += [f"Content-Length: {len(content)}"] if measured else []
    told += ["X-Other: 1"]
    quote = '"' if quoted or not filename.isascii() or set(filename) & set(' %"') else ""
    card = a_part("card", b"1")
    part = a_part("file", content, *told, filename=filename, quote=quote)
    body, start, behind = spliced([card, *before], part, after)

    sealed = through(SEAL, body)

    assert body[len(body) - behind :] == sealed[len(sealed) - behind :]
    assert parts_of(body)[1 : len(before) + 1] == parts_of(sealed)[1 : len(before) + 1]
    found = list(reader.parts(sealed, Boundary(b"--of-parts", quoted=False)))[len(before) + 1]
    assert found.media is not None
    large = len(content) > SMALL
    assert found.media.essence == (sealed_stream.MEDIA_TYPE if large else "application/jose")
    inside = sealed[found.start : found.end]
    assert inside.startswith(sealed_stream.MAGIC if large else JWE_PREFIX)
    assert found.filename is not None
    assert sealed[found.filename.start : found.filename.end].startswith(JWE_PREFIX)
    # What is drawn may stand in the head of a token, and in other parts.
    held = inside if large else inside.partition(b".")[2]
    assert len(content) < 8 or content not in held
    assert body == through(OPEN, sealed)
    assert start


SEALED = through(
    SEAL,
    a_body(
        a_part("card", CANARY),
        a_part("file", CANARY * 6000, "Content-Type: a/b", filename=CANARY.decode()),
        a_part("file", CANARY, "Content-Type: a/b", filename=CANARY.decode()),
    ),
)
PLAIN = a_body(
    a_part("n", b"x"),
    a_part("card", CANARY, "Content-Type: text/plain"),
    a_part("file", CANARY, "Content-Type: a/b", filename=f"{CANARY.decode()}.png"),
)


@given(st.integers(0, len(PLAIN) - 1), st.integers(1, 255))
def test_a_changed_byte_never_lets_a_value_through(at: int, change: int) -> None:
    body = bytearray(PLAIN)
    body[at] ^= change

    try:
        came = through(SEAL, bytes(body))
    except SealyardError:
        return
    renamed = bytes(body).count(b'name="file"') == 0  # it is optional, and another name is another
    assert CANARY not in came or renamed


@given(st.integers(0, len(PLAIN) - 1))
def test_a_cut_body_is_refused(end: int) -> None:
    body = PLAIN[:end]

    if end >= len(PLAIN) - 2:
        assert end == len(PLAIN) - 1 or CANARY not in through(SEAL, body)
        return
    with pytest.raises(SealyardError):
        through(SEAL, body)


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_changed_byte_opens_nothing_but_what_was_sealed(at: int, change: int) -> None:
    body = bytearray(SEALED)
    body[at] ^= change

    try:
        came = through(OPEN, bytes(body))
    except SealyardError:
        return
    for content in parts_of(came):
        assert content in {CANARY, CANARY * 6000} or content in bytes(body)


# --- what is found -------------------------------------------------------------------------------


def test_a_name_may_stand_in_many_parts_and_each_is_sealed() -> None:
    body = a_body(a_part("card", CANARY), a_part("card", CANARY, filename="a"))

    came = applied(SEAL, body)

    assert came.counts == {"sealed": 2}
    assert came.forwardable.body is not None
    assert CANARY not in came.forwardable.body


def test_an_unquoted_name_reads_as_a_quoted_one() -> None:
    sealed = through(SEAL, a_body(a_part("card", CANARY, quote="")))

    assert CANARY not in sealed


def test_a_selected_name_with_a_quote_is_found_as_browsers_spell_it() -> None:
    rule = a_rule(request=a_block(encrypt=[an_item('part:a"b', field="a")]), names=NAMES)

    assert CANARY not in through(rule, a_body(a_part("a%22b", CANARY)))


def test_a_name_in_the_query_is_refused() -> None:
    with pytest.raises(ForbiddenValue):
        through(SEAL, a_body(a_part("card", b"1")), query="?card=4111")
    assert through(SEAL, a_body(a_part("card", b"1")), query="?n=4111")


def test_case_variants_may_be_allowed() -> None:
    body = a_body(a_part("card", CANARY), a_part("Card", b"1"))

    with pytest.raises(ForbiddenValue):
        through(SEAL, body)
    assert through(with_block(SEAL, case_variants_allowed=True), body)


def test_a_filename_that_a_part_lacks_is_missing_and_one_that_nobody_chose_is_too() -> None:
    rule = a_rule(request=a_block(encrypt=[an_item_of("filename:file")]), names=NAMES)

    for part in (a_part("file", b"x"), a_part("file", b"", filename="")):
        with pytest.raises(MissingValue):
            through(rule, a_body(part))
    assert through(rule, a_body(a_part("file", b"", filename="a")))


def test_a_filename_that_stands_in_two_places_is_refused() -> None:
    twice = a_part("file", b"1", filename="a.txt", quote="")
    twice = twice.replace(b"\r\n", b"; filename*=utf-8''b.txt\r\n", 1)
    typed = a_part("file", b"1", "Content-Type: text/plain; name=a.txt", filename="a.txt")

    for rule in (SEAL, OPEN):
        for part in (twice, typed):
            with pytest.raises((InvalidBody, OpenFailed)):
                through(rule, a_body(a_part("card", a_token(b"1")), part))
    only = a_rule(request=a_block(encrypt=[an_item_of("part:file")]), names=NAMES)
    assert through(only, a_body(twice)).count(JWE_PREFIX) == 1


def test_a_form_without_a_body_lacks_what_is_not_optional() -> None:
    with pytest.raises(MissingValue):
        through(SEAL, b"")


def test_a_thousand_parts_are_read_and_no_more() -> None:
    parts = [a_part("card", b"1"), *[a_part("n", b"1")] * 999]

    assert through(SEAL, a_body(*parts))
    with pytest.raises(BodyTooLarge):
        through(SEAL, a_body(*parts, a_part("n", b"1")))


def test_a_short_form_is_for_texts_and_not_for_files() -> None:
    rule = a_rule(request=a_block(encrypt=[an_item_of("part:card", form="short")]), names=NAMES)

    assert b"sy1." in through(rule, a_body(a_part("card", CANARY)))
    with pytest.raises(UnsupportedBody):
        through(rule, a_body(a_part("card", CANARY, filename="a")))


def test_max_chars_holds_and_a_file_that_may_be_no_frame_has_a_bound() -> None:
    bounded = replace(an_item_of("part:file", max_chars=200), framed=False)
    roomy = replace(an_item_of("part:file"), framed=False)

    with pytest.raises(ValueTooLong):
        through(sealing(bounded), a_body(a_part("file", b"x" * 20, filename="a")))
    for size, error in ((SMALL, None), (LARGE, BodyTooLarge)):
        body = a_body(a_part("file", b"x" * size, filename="a"))
        if error is None:
            assert JWE_PREFIX in through(sealing(roomy), body)
        else:
            with pytest.raises(error):
                through(sealing(roomy), body)
    again = a_body(a_part("file", a_frame(b"x"), f"Content-Type: {sealed_stream.MEDIA_TYPE}"))
    assert JWE_PREFIX in through(sealing(roomy), again)


def sealing(item: Item) -> Rule:
    return a_rule(request=a_block(encrypt=[item]), names=NAMES)


def test_a_block_may_be_told_that_bodies_are_forms_in_parts() -> None:
    block = replace(a_block(encrypt=[an_item_of("part:card")]), types=("*/*",))
    rule = a_rule(request=block, names=NAMES)
    body = a_body(a_part("card", CANARY))

    assert CANARY not in through(rule, body)
    for other in (JSON_TYPE, ((b"Content-Type", b"application/x-www-form-urlencoded"),)):
        with pytest.raises(UnsupportedBody):
            through(rule, body, other)


def test_parts_do_not_stand_beside_members_or_pairs() -> None:
    for other in ("$.a", "form:a"):
        with pytest.raises(InvalidExpression):
            RuleTable(
                (a_rule(request=a_block(encrypt=["part:a", other]), names=NAMES),),
                pass_unmatched=True,
            )


# --- what is opened ------------------------------------------------------------------------------


def test_a_text_that_would_end_its_part_does_not_open() -> None:
    for text in (b"x\r\n--of-parts\r\n", b"--of-parts--", b"a--of-parts"):
        with pytest.raises(OpenFailed):
            through(OPEN, a_body(a_part("card", a_token(text))))


def test_a_delimiter_may_not_come_together_from_two_texts() -> None:
    rule = with_block(TOKENS, keep_unopened=True)
    body = a_body(a_part("card", b"--" + a_token(b"of-parts", None)))

    with pytest.raises(OpenFailed):
        through(rule, body)


@pytest.mark.parametrize(
    "part",
    [
        a_part("card", b"plain"),
        a_part("card", a_token(b"x", "other")),
        a_part("card", a_token(b"x", kind="body", cty="a/b")),
        a_part("card", a_token(b"x"), "Content-Type: application/jose"),
        a_part("card", a_token(b"x", kind="body", cty="json"), "Content-Type: application/jose"),
        a_part("card", a_frame(b"x"), f"Content-Type: {sealed_stream.MEDIA_TYPE}"),
        a_part(
            "card", a_frame(b"x", field="card")[:-1], f"Content-Type: {sealed_stream.MEDIA_TYPE}"
        ),
        a_part(
            "card", a_frame(b"x", field="card") + b"x", f"Content-Type: {sealed_stream.MEDIA_TYPE}"
        ),
        a_part("card", b"SYST", f"Content-Type: {sealed_stream.MEDIA_TYPE}"),
        a_part("card", b"x", f"Content-Type: {sealed_stream.MEDIA_TYPE}"),
    ],
)
def test_what_was_not_sealed_for_the_part_does_not_open(part: bytes) -> None:
    with pytest.raises(OpenFailed):
        through(OPEN, a_body(part))


def test_a_text_does_not_open_into_a_part_of_another_charset() -> None:
    part = a_part("card", a_token(b"x"), "Content-Type: text/plain; charset=latin1")

    with pytest.raises(UnsupportedBody):
        through(OPEN, a_body(part))


def test_a_file_without_a_type_comes_back_without_one() -> None:
    part = a_part("card", a_token(b"x", kind="body"), "Content-Type: application/jose")

    assert a_body(a_part("card", b"x")) == through(OPEN, a_body(part))


@pytest.mark.parametrize(
    ("name", "spelled"), [('a"b', "a%22b"), ("a\r\nb", "a%0D%0Ab"), ("a b", '"a b"'), ("é", '"é"')]
)
def test_a_filename_is_spelled_as_browsers_spell_it(name: str, spelled: str) -> None:
    token = a_token(name.encode(), "file name").decode()
    rule = a_rule(request=a_block(decrypt=[an_item_of("filename:file")]), names=NAMES)

    opened = through(rule, a_body(a_part("file", b"1", filename=token, quote="")))

    expected = spelled if spelled.startswith('"') or "%" not in spelled else f'"{spelled}"'
    assert f"filename={expected}\r\n".encode() in opened


@pytest.mark.parametrize("name", ["a\\b", "a\0", "a\x7f", "a\tb", "; name=x", "NAME =x"])
def test_a_filename_that_has_no_single_reading_does_not_open(name: str) -> None:
    token = a_token(name.encode(), "file name").decode()
    rule = a_rule(request=a_block(decrypt=[an_item_of("filename:file")]), names=NAMES)

    with pytest.raises(OpenFailed):
        through(rule, a_body(a_part("file", b"1", filename=token)))


# --- already sealed ------------------------------------------------------------------------------

ALREADY = [
    a_part("file", a_token(b"x", "file")),
    a_part("file", a_token(b"x", "file", "body", cty="a/b"), "Content-Type: application/jose"),
    a_part("file", a_frame(b"x"), f"Content-Type: {sealed_stream.MEDIA_TYPE}"),
]


@pytest.mark.parametrize("part", ALREADY)
def test_what_is_sealed_already_is_sealed_again_kept_or_refused(part: bytes) -> None:
    rule = a_rule(request=a_block(encrypt=[an_item_of("part:file")]), names=NAMES)
    back = a_rule(request=a_block(decrypt=[an_item_of("part:file")]), names=NAMES)
    body = a_body(part)

    assert body == through(back, through(rule, body))
    kept = applied(with_block(rule, already_sealed="keep"), body)
    assert (body, {"already_sealed": 1}) == (kept.forwardable.body, kept.counts)
    with pytest.raises(ForbiddenValue):
        through(with_block(rule, already_sealed="reject"), body)


def test_a_frame_of_others_is_not_kept() -> None:
    part = a_part("file", a_frame(b"x", field="other"), f"Content-Type: {sealed_stream.MEDIA_TYPE}")
    rule = a_rule(request=a_block(encrypt=[an_item_of("part:file")]), names=NAMES)

    came = applied(with_block(rule, already_sealed="keep"), a_body(part))

    assert came.counts == {"sealed": 1}


# --- tokens and responses ------------------------------------------------------------------------


def test_tokens_open_in_texts_and_filenames_and_files_stay() -> None:
    token = a_token(CANARY, None)
    cut = token[:-30]
    body = a_body(
        a_part("a", b"see %b, %b" % (token, cut), "Content-Type: text/plain"),
        a_part("j", b'["%b"]' % token, "Content-Type: application/json"),
        a_part("f", token, "Content-Type: text/plain", filename=f"re {token.decode()}.png"),
        a_part("u", token, "Content-Type: text/plain; charset=utf-16"),
        a_part("b", token, "Content-Type: image/png"),
    )

    opened = through(TOKENS, body)

    expected = a_body(
        a_part("a", b"see %b, [sealed]" % CANARY, "Content-Type: text/plain"),
        a_part("j", b'["%b"]' % CANARY, "Content-Type: application/json"),
        a_part("f", token, "Content-Type: text/plain", filename=f"re {CANARY.decode()}.png"),
        a_part("u", token, "Content-Type: text/plain; charset=utf-16"),
        a_part("b", token, "Content-Type: image/png"),
    )
    assert expected == opened


def test_tokens_in_a_part_with_a_length_take_it_away_once() -> None:
    text = b"%b and %b" % (a_token(b"1", None), a_token(b"2", None))
    body = a_body(a_part("a", text, f"Content-Length: {len(text)}", "X: 1"))

    assert a_body(a_part("a", b"1 and 2", "X: 1")) == through(TOKENS, body)


def test_a_filename_that_has_no_single_reading_stays_a_token() -> None:
    token = a_token(b"a\\b", None).decode()
    body = a_body(a_part("a", b"1", filename=token))

    came = applied(TOKENS, body)

    assert (body, {"kept": 1}) == (came.forwardable.body, came.counts)


def test_tokens_of_no_known_conversation_stay() -> None:
    names = Names(tenant=parse_source("const:clinic"), conversation=parse_source("header:c"))
    rule = replace(TOKENS, names=names)
    body = a_body(a_part("a", a_token(b"1", None)))

    assert body == through(rule, body)


def test_what_has_no_tokens_is_not_looked_at_and_what_has_some_must_be_a_form() -> None:
    assert through(TOKENS, b"nothing") == b"nothing"
    with pytest.raises(InvalidBody):
        through(TOKENS, a_token(b"1", None))
    many = with_block(TOKENS, max_tokens=1)
    with pytest.raises(InvalidBody):
        through(many, a_body(a_part("a", a_token(b"1", None)), a_part("b", a_token(b"1", None))))


def a_reply(rule: Rule, body: bytes) -> Applied:
    return reply(rule, body, a_response(headers=TYPE))


def test_a_response_is_sealed_and_opened_like_a_request() -> None:
    seal = a_rule(response=a_block(encrypt=ALL), names=NAMES)
    open_ = a_rule(response=a_block(decrypt=ALL), names=NAMES)
    body = a_body(a_part("card", CANARY), a_part("n"), a_part("file", CANARY * 7000, filename="a"))

    sealed = a_reply(seal, body).forwardable.body

    assert sealed is not None
    assert CANARY not in sealed
    assert body == a_reply(open_, sealed).forwardable.body


@pytest.mark.parametrize(
    "part",
    [
        a_part("card", a_token(b"x", "other")),
        a_part("file", a_frame(b"x", field="other"), f"Content-Type: {sealed_stream.MEDIA_TYPE}"),
        a_part("file", b"x", f"Content-Type: {sealed_stream.MEDIA_TYPE}"),
        a_part("file", a_token(b"x", "file"), filename=a_token(b"\\", "file name").decode()),
    ],
)
def test_a_response_may_keep_what_does_not_open(part: bytes) -> None:
    rule = a_rule(response=replace(a_block(decrypt=ALL), keep_unopened=True), names=NAMES)
    body = a_body(part)

    came = a_reply(rule, body)

    assert came.counts["kept"] == 1
    assert b"Sealyard-Kept" in dict(came.forwardable.frame.added_headers)
    if b"filename" not in part:
        assert body == came.forwardable.body


# --- explain -------------------------------------------------------------------------------------


def explained(rule: Rule, body: bytes) -> list[tuple[str, str, str]]:
    message = a_message(body, headers=TYPE)
    book = RuleTable((rule,), pass_unmatched=True)
    told, _ = explain_request(book, message.head, canonical("/api/messages"), body)
    assert CANARY not in (told.outgoing or b"")
    return [(one.action, one.field, one.note) for one in told.values]


def test_explain_tells_of_texts_files_and_frames() -> None:
    body = a_body(
        a_part("card", CANARY),
        a_part("file", CANARY * 7000, filename="a"),
    )

    told = explained(SEAL, body)

    expected = [
        ("sealed", "card", ""),
        ("sealed", "file", "as a stream"),
        ("sealed", "file name", ""),
    ]
    assert expected == told
    sealed = through(SEAL, body)
    # What is in a stream takes its key.
    expected = [
        ("opened", "card", ""),
        ("refused", "file", "needs-keys"),
        ("opened", "file name", ""),
    ]
    assert expected == explained(OPEN, sealed)
    broken = a_body(
        a_part("card", b"x"), a_part("file", b"x", f"Content-Type: {sealed_stream.MEDIA_TYPE}")
    )
    assert ("refused", "value", "not-a-frame") in explained(OPEN, broken)


def test_a_message_that_is_no_form_needs_a_block_of_its_own() -> None:
    trip = Trip((SEAL,), a_message())

    with pytest.raises(UnsupportedBody):
        trip.request()


@pytest.mark.parametrize("spelled", [r"C:\\notes\\a.txt", r"C:\notes\a.txt"])
def test_a_path_is_no_filename_to_be_sealed(spelled: str) -> None:
    rule = a_rule(request=a_block(encrypt=[an_item_of("part:card")]), names=NAMES)
    body = a_body(a_part("card", CANARY), a_part("file", b"x", filename=spelled))

    assert spelled.encode() in through(rule, body)
    with pytest.raises(InvalidBody):
        through(SEAL, body)


def test_escapes_in_a_filename_are_read_where_it_is_sealed() -> None:
    spelled, read = r"the \"final\" one.txt", '"final"'
    body = a_body(a_part("card", CANARY), a_part("file", b"x", filename=spelled))
    values = Trip((SEAL,), a_message(body, headers=TYPE))
    plan = plan_request(values.exchange, body)

    assert any(isinstance(one, bytes) and read.encode() in one for one in plan.values.what)
    assert read.encode() not in through(SEAL, body)


@pytest.mark.parametrize(
    "spelled", [r"a\"; name=\"card", "a\\", "a\\\x00b", r"a\"; filename*=utf-8b; x=\""]
)
def test_an_escape_does_not_hide_what_others_read_as_a_name(spelled: str) -> None:
    body = a_body(a_part("card", CANARY), a_part("file", b"x", filename=spelled))
    with pytest.raises(InvalidBody):
        through(SEAL, body)


@pytest.mark.parametrize(
    ("boundary", "taken"), [('"==1=="', True), ("==1==", False), ('"=="', False), ('"a;b"', False)]
)
def test_a_boundary_has_an_equals_sign_in_quotes_alone(boundary: str, *, taken: bool) -> None:
    kind = ((b"Content-Type", b"multipart/form-data; boundary=" + boundary.encode()),)
    body = a_body(a_part("card", CANARY)).replace(b"of-parts", boundary.strip('"').encode())
    if taken:
        assert CANARY not in through(SEAL, body, kind)
        return
    with pytest.raises(UnsupportedBody):
        through(SEAL, body, kind)
