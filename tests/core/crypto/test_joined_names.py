"""Joined names: no two have one encoding, and none opens what was sealed for another."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.apply.apply import apply
from proxy.core.apply.forwardable import Forwardable
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import (
    MAX_DEPTH,
    MAX_PARTS,
    Joined,
    JoinKind,
    Name,
    from_json,
    join,
    reads_as_joined,
    some_from_json,
    to_json,
)
from proxy.core.crypto.sealed_stream import read_head
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import Form, KeyId, Token, decode
from proxy.core.edits import edits
from proxy.core.edits.edits import KeysInUse
from proxy.core.edits.key_needs import Keys
from proxy.core.errors import ForbiddenValue, InvalidExpression, MissingValue, OpenFailed
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import (
    FirstSource,
    ListSource,
    MembersSource,
    Source,
    parse_source,
)
from proxy.core.http.message import Headers
from proxy.core.planning.planner import plan_request
from proxy.core.rules.model import Names
from tests.factories import NOW, Trip, a_block, a_message, a_rule, a_session, a_sid, an_item

JOINS: Final[tuple[JoinKind, ...]] = ("list", "members")
LATER: Final = NOW + 1
OLD_SID: Final = a_sid()
NEW_SID: Final = LATER.to_bytes(4) + bytes(8)

texts = st.text("01:5a", max_size=6) | st.text(max_size=4)
names: st.SearchStrategy[Name] = st.recursive(
    texts,
    lambda inner: st.builds(Joined, st.sampled_from(JOINS), st.lists(inner, max_size=4)),
    max_leaves=8,
)
some = st.none() | names


def a_list(*parts: Name) -> Joined:
    return Joined("list", parts)


def members(*parts: Name) -> Joined:
    return Joined("members", parts)


@given(
    st.builds(Context, st.builds(Scope, some, some, st.none()), st.none() | texts, some),
    st.builds(Context, st.builds(Scope, some, some, st.none()), st.none() | texts, some),
)
@example(Context(Scope(None, "5:alice3:bob")), Context(Scope(None, members("alice", "bob"))))
@example(Context(Scope(None, a_list("a"))), Context(Scope(None, members("a"))))
@example(Context(Scope(None, a_list("a"))), Context(Scope(None, a_list(a_list("a")))))
@example(Context(Scope(None, a_list("1:a"))), Context(Scope(None, a_list(a_list("a")))))
@example(Context(Scope(None, a_list("a", "bc"))), Context(Scope(None, a_list("ab", "c"))))
@example(Context(Scope(None, a_list())), Context(Scope(None, "")))
@example(Context(message=a_list("m")), Context(message="m"))
def test_no_two_names_have_one_encoding(one: Context, other: Context) -> None:
    assert (one == other) == (one.encode() == other.encode())
    assert (one.scope == other.scope) == (one.scope.encode() == other.scope.encode())


@given(st.lists(names, max_size=5), st.randoms(use_true_random=False))
def test_members_are_one_name_in_any_order(parts: list[Name], random: object) -> None:
    shuffled = [*parts]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis does not tell its type
    one, other = members(*parts), members(*shuffled)
    assert (one, hash(one), one.encode(), one.as_text()) == (
        other,
        hash(other),
        other.encode(),
        other.as_text(),
    )


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (Context(Scope(a_list("a"))), "11 00000006 00 00000001 61"),
        (Context(Scope(None, a_list("a", "bc"))), "12 0000000d 00 00000001 61 00 00000002 6263"),
        (Context(Scope(None, members("bc", "a"))), "22 0000000d 00 00000001 61 00 00000002 6263"),
        (Context(message=members("m")), "24 00000006 00 00000001 6d"),
        (
            Context(Scope(members("ü"), a_list(members("a", ""), "b"))),
            """21 00000007 00 00000002 c3bc
               12 00000016 02 0000000b 00 00000000 00 00000001 61 00 00000001 62""",
        ),
        (Context(Scope("t", a_list()), "f"), "01 00000001 74 12 00000000 03 00000001 66"),
    ],
)
def test_a_joined_name_has_a_label_and_parts_of_its_own(context: Context, expected: str) -> None:
    assert bytes.fromhex(expected) == context.encode()


@pytest.mark.parametrize("name", [a_list("\ud800"), members("a", a_list("b", "\udfff"))])
def test_half_a_surrogate_pair_is_no_part_of_a_name(name: Joined) -> None:
    for context in (Context(Scope(name)), Context(Scope(name)).as_text()):
        with pytest.raises(MissingValue, match="name-not-unicode"):
            context.encode()


def split(joined: str) -> list[str]:
    """Return the texts that the old form joins; ValueError where it is none."""
    rest, parts = joined.encode(errors="surrogatepass"), []
    while rest:
        size, _, rest = rest.partition(b":")
        parts.append(rest[: int(size)].decode(errors="surrogatepass"))
        rest = rest[int(size) :]
    return parts


def is_old_form(text: str) -> bool:
    try:
        return bool(text) and join(split(text)) == text
    except ValueError:
        return False


@given(names)
def test_the_old_form_of_a_joined_name_is_known(name: Name) -> None:
    if isinstance(name, Joined) and name.parts:
        assert reads_as_joined(name.as_text())


@given(st.text("0123:a-ü٣ \ud800", max_size=12))
@example("1:5")
@example("0:")
@example("00:")
@example("01:a")
@example("1:ü")
@example("2:ü")
@example("2:\ud800")
@example("3:\ud800")
@example("1:a2")
@example("1:a2:b")
@example("-1:a")
@example("1_0:aaaaaaaaaa")
@example("٣:abc")
@example("9" * 40 + ":a")
def test_what_reads_as_the_old_form_is_exactly_that(text: str) -> None:
    assert reads_as_joined(text) == is_old_form(text)


def test_a_context_tells_whether_a_text_of_it_reads_as_joined() -> None:
    assert Context(Scope("clinic", "1:5")).reads_as_joined
    assert Context(message="5:alice3:bob").reads_as_joined
    assert not Context(Scope("clinic", a_list("1:5")), "1:5", purpose="1:5").reads_as_joined


def test_a_long_text_is_read_once() -> None:
    assert reads_as_joined("1:a" * 200_000)
    assert not reads_as_joined("1:a" * 200_000 + "1")


@given(names)
def test_json_spells_every_name(name: Name) -> None:
    spelled = json.loads(json.dumps(to_json(name)))
    if _within_bounds(name):
        assert from_json(spelled) == some_from_json(spelled) == name
    assert some_from_json(to_json(None)) is None


def _within_bounds(name: Name) -> bool:
    if isinstance(name, str):
        return True
    return bool(name.parts) and all(map(_within_bounds, name.parts))


def nested(depth: int) -> object:
    value: object = "a"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        True,
        [],
        {},
        ["a", 7],
        {"list": ["a"]},
        {"members": "a"},
        {"members": []},
        {"members": ["a"], "more": 1},
        nested(MAX_DEPTH + 1),
        ["a"] * (MAX_PARTS + 1),
        [["a"] * (MAX_PARTS // 2)] * 2,
    ],
)
def test_what_spells_no_name_is_refused(value: object) -> None:
    with pytest.raises(InvalidExpression):
        from_json(value)


def test_as_much_as_is_allowed_is_a_name() -> None:
    assert isinstance(from_json(nested(MAX_DEPTH)), Joined)
    assert len(from_json(["ab"] * MAX_PARTS)) == 2 * MAX_PARTS


def test_a_name_shows_what_it_is_and_is_no_text() -> None:
    name = members("b", "a")
    assert repr(name) == "Joined('members', ('a', 'b'))"
    assert bool(a_list())
    assert name != "1:a1:b"
    assert name not in {"1:a1:b", a_list("a", "b"), ("members", ("a", "b"))}


# ---- under sessions of before and after joined names were set apart

SCALAR: Final = "5:alice3:bob"
NAMES: Final[dict[str, Name]] = {
    "scalar": SCALAR,
    "list": a_list("alice", "bob"),
    "members": members("bob", "alice"),
    "nested": a_list(SCALAR),
    "another": a_list("alice", "eve"),
}
PLACES: Final = ("tenant", "conversation", "message")


def a_context(place: str, name: Name) -> Context:
    parts: dict[str, Name] = {"tenant": "clinic", "conversation": "c1", "message": "m", place: name}
    scope = Scope(parts["tenant"], parts["conversation"])
    return Context(scope, "content", parts["message"])


def keys(*scopes: Scope, sid: bytes, since: int = LATER, ephemeral: bool = False) -> Keys:
    """Return the keys of one session id, for scopes in each form, as sessions find them."""
    forms = {form for scope in scopes for form in (scope, scope.as_text())}
    found = {form: a_session(form, sid=sid, ephemeral=ephemeral) for form in forms}
    opening = {(form, one_id): one for form, one in found.items() for one_id in _ids(one)}
    old = int.from_bytes(sid[:4]) < since
    sealing = {one: found[one.as_text() if old else one] for one in scopes}
    return Keys(sealing, opening, joined_since=since)


def _ids(session: Session) -> list[KeyId]:
    sealed = (session.seal(b"", Context(session.scope), form=form) for form in ("jwe", "short"))
    return [decode(one).key_id for one in sealed]


def a_token(context: Context, sid: bytes, form: Form = "jwe") -> Token:
    session, written = KeysInUse(keys(context.scope, sid=sid)).seal_for(context)
    return decode(session.seal(b"x", written, form=form))


def opens(token: Token, context: Context, at_hand: Keys) -> bool:
    try:
        return KeysInUse(at_hand).open(token, context, NOW)[1] == b"x"
    except OpenFailed:
        return False


@pytest.mark.parametrize("form", ["jwe", "short"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("sid", [OLD_SID, NEW_SID], ids=["old", "new"])
def test_only_like_opens_like(sid: bytes, place: str, form: Form) -> None:
    contexts = {kind: a_context(place, name) for kind, name in NAMES.items()}
    at_hand = keys(*(one.scope for one in contexts.values()), sid=sid)
    for one, other in itertools.product(contexts, contexts):
        if sid == OLD_SID and one == "scalar":
            continue  # none is sealed: see below
        token = a_token(contexts[one], sid, form)
        alike = one == other or (sid == OLD_SID and {one, other} == {"list", "members"})
        assert opens(token, contexts[other], at_hand) == alike, (one, other)


@pytest.mark.parametrize("place", PLACES)
def test_what_0_1_0_joined_opens_and_never_as_the_text_that_it_reads_as(place: str) -> None:
    """It wrote the bytes of that text. Whose they are only the source tells, so no text may."""
    old = a_context(place, SCALAR)
    token = decode(a_session(old.scope, sid=OLD_SID).seal(b"x", old))
    contexts = {kind: a_context(place, name) for kind, name in NAMES.items()}
    at_hand = keys(*(one.scope for one in contexts.values()), sid=OLD_SID)
    opening = {kind for kind, context in contexts.items() if opens(token, context, at_hand)}
    assert opening == {"list", "members"}
    with pytest.raises(OpenFailed, match="name-reads-as-joined"):
        KeysInUse(at_hand).open(token, contexts["scalar"], NOW)


@pytest.mark.parametrize("place", PLACES)
def test_no_text_that_reads_as_joined_is_sealed_under_an_older_session(place: str) -> None:
    context = a_context(place, SCALAR)
    with pytest.raises(ForbiddenValue, match="name-reads-as-joined"):
        KeysInUse(keys(context.scope, sid=OLD_SID)).seal_for(context)
    _, written = KeysInUse(keys(context.scope, sid=NEW_SID)).seal_for(context)
    assert written == context
    # Where no rule joins names, nobody can mean anything else by it.
    session, written = KeysInUse(keys(context.scope, sid=OLD_SID, since=0)).seal_for(context)
    token = decode(session.seal(b"x", written))
    assert opens(token, context, keys(context.scope, sid=OLD_SID, since=0))


def test_a_text_beside_a_joined_name_must_not_read_as_one_either() -> None:
    """The old form of the two is that of other names: a list as tenant, a list as conversation."""
    context = Context(Scope(SCALAR, a_list("a")))
    other = Context(Scope(a_list("alice", "bob"), "1:a"))
    assert context.as_text() == other.as_text()
    old = decode(a_session(context.scope.as_text(), sid=OLD_SID).seal(b"x", context.as_text()))
    at_hand = keys(context.scope, other.scope, sid=OLD_SID)
    assert not opens(old, context, at_hand)
    assert not opens(old, other, at_hand)
    with pytest.raises(ForbiddenValue):
        KeysInUse(at_hand).seal_for(context)


def test_what_is_sealed_in_the_new_form_early_opens_where_that_is_not_known_yet() -> None:
    context = a_context("conversation", a_list("alice", "bob"))
    token = a_token(context, NEW_SID)
    never = 1 << 32
    assert opens(token, context, keys(context.scope, sid=NEW_SID, since=never))


def test_why_a_joined_name_opens_nothing_is_told_once_and_by_the_older_form() -> None:
    context = a_context("conversation", a_list("alice", "bob"))
    found = keys(context.scope, sid=OLD_SID)
    refusals = {need: "revoked-session" for need in found.opening if need[0] != context.scope}
    refused = KeysInUse(Keys({}, {}, found.opening, refusals, LATER))
    with pytest.raises(OpenFailed, match="revoked-session"):
        refused.open(a_token(context, OLD_SID), context, NOW)
    assert [one.reason for one in refused.unopened] == ["revoked-session"]
    nobody = KeysInUse(Keys({}, {}, joined_since=LATER))
    with pytest.raises(OpenFailed, match="unknown-key"):
        nobody.open(a_token(context, OLD_SID), context, NOW)


def test_tokens_of_both_forms_open_one_after_the_other() -> None:
    context, plain = a_context("conversation", a_list("alice", "bob")), a_context("message", "m")
    at_hand = KeysInUse(
        Keys(
            {},
            {
                **keys(context.scope, plain.scope, sid=OLD_SID).opening,
                **keys(context.scope, plain.scope, sid=NEW_SID).opening,
            },
            joined_since=LATER,
        )
    )
    for one, sid in itertools.product((context, plain, context), (OLD_SID, NEW_SID, OLD_SID)):
        assert at_hand.open(a_token(one, sid), one, NOW)[1] == b"x"
    assert not at_hand.unopened


def test_each_text_is_read_once_for_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client chooses it, as long as a path may be, and a message has thousands of values."""
    read: list[str] = []

    def reads(text: str) -> bool:
        read.append(text)
        return reads_as_joined(text)

    monkeypatch.setattr(edits, "reads_as_joined", reads)
    context = a_context("conversation", "1:a" * 20_000)
    at_hand = KeysInUse(keys(context.scope, sid=OLD_SID))
    token = decode(a_session(context.scope, sid=OLD_SID).seal(b"x", context))
    for _ in range(50):
        with pytest.raises(OpenFailed):
            at_hand.open(token, context._replace(field="f"), NOW)
        with pytest.raises(ForbiddenValue):
            at_hand.seal_for(context)
    assert sorted(read) == sorted({"clinic", "1:a" * 20_000, "m"})


LETTER: Final = a_list("alice", "bob")


@pytest.mark.parametrize("sid", [OLD_SID, NEW_SID], ids=["old", "new"])
@pytest.mark.parametrize("select", ["body", "part:file"])
def test_streams_are_sealed_and_opened_in_the_form_of_their_session(
    select: str, sid: bytes
) -> None:
    """The chunks are bound to the context as well as the token before them."""
    text = bytes(100_000)
    headers = ((b"Content-Type", b"image/png"),)
    if select != "body":
        text = (
            b'--no-chance-bytes\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n'
            b"Content-Type: image/png\r\n\r\n" + text + b"\r\n--no-chance-bytes--\r\n"
        )
        headers = ((b"Content-Type", b"multipart/form-data; boundary=no-chance-bytes"),)
    names = Names(conversation=source("const:alice", "const:bob"))
    item = an_item(select, field="file", bind=["conversation", "field"])

    def through(body: bytes, found: Headers, *, seals: bool, made: bytes) -> Forwardable:
        block = a_block(encrypt=[item]) if seals else a_block(decrypt=[item])
        trip = Trip((a_rule(request=block, names=names),), a_message(body, headers=found))
        plan = plan_request(trip.exchange, body, 1 << 20)
        return apply(plan, keys(Scope(None, LETTER), sid=made), NOW).forwardable

    sealed = through(text, headers, seals=True, made=sid)
    assert sealed.body is not None
    kind = (sealed.media_type or headers[0][1].decode()).encode()
    opened = through(sealed.body, ((b"Content-Type", kind),), seals=False, made=sid)
    assert opened.body == text
    at = sealed.body.index(b"SYST\x01")
    head = read_head(sealed.body[at : at + 2000])
    assert head is not None
    context = Context(Scope(None, LETTER), "file", kind="stream")
    written = context.as_text() if sid == OLD_SID else context
    session = a_session(written.scope, sid=sid)
    assert session.open(head.token, written, NOW)[32:] == b"image/png"


# ---- read from messages


def source(*texts: str) -> ListSource:
    return ListSource(tuple(parse_source(one) for one in texts))


@pytest.mark.parametrize(
    ("conversation", "select", "joins"),
    [
        (parse_source("path:id"), "$.content", False),
        (parse_source("$.room"), "$.content", False),
        (parse_source("$.items.*.room"), "$.items.*.content", False),
        (parse_source("$.items.*.room"), "$.content", True),
        (parse_source("$.items.*~"), "$.items.*.content", False),
        (parse_source("$..room"), "$.items.*.content", True),
        (source("path:id", "$.room"), "$.content", True),
        (MembersSource((parse_source("$.items.*.a"),)), "$.items.*.content", True),
        (FirstSource((parse_source("path:id"), parse_source("$.room"))), "$.content", False),
        (FirstSource((parse_source("path:id"), source("$.room"))), "$.content", True),
        (source("path:id"), "body", True),
        (parse_source("$.items.*.room"), "header:x-note", True),
    ],
)
def test_a_rulebook_tells_whether_its_rules_join(
    conversation: Source, select: str, *, joins: bool
) -> None:
    names = Names(conversation=conversation)
    item = replace(
        an_item("$.x"), selector=parse_selector(select), bind=frozenset({"conversation"})
    )
    rule = a_rule(request=a_block(encrypt=[item], names=names))
    assert RuleTable((rule,), pass_unmatched=True).joins == joins
    assert not RuleTable((replace(rule, observes=True),), pass_unmatched=True).joins
    unbound = replace(item, bind=frozenset({"field"}))
    rule = a_rule(request=a_block(encrypt=[unbound], names=names))
    assert not RuleTable((rule,), pass_unmatched=True).joins


def test_a_plan_tells_whether_its_names_are_joined() -> None:
    body = '{"to":["alice","bob"],"room":"c1","content":"x"}'
    for text, joined in (("$.to.*", True), ("$.room", False)):
        item = an_item("$.content", bind=["conversation"])
        rule = a_rule(request=a_block(encrypt=[item], names=Names(conversation=parse_source(text))))
        trip = Trip((rule,), a_message(body))
        assert plan_request(trip.exchange, trip.message.body).needs.joined is joined
