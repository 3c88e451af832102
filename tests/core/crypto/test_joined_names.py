"""Joined names: no two have one encoding, and none opens what was sealed for another."""

from __future__ import annotations

import itertools
import json
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import (
    Joined,
    JoinKind,
    Name,
    from_json,
    some_from_json,
    to_json,
)
from proxy.core.crypto.sealed_stream import read_head
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import Form, KeyId, Token, decode
from proxy.core.errors import InvalidExpression, MissingValue, OpenFailed
from proxy.core.expressions.sources import (
    ListSource,
    parse_source,
)
from proxy.core.http.message import Headers
from proxy.core.policy import JOINED_DEPTH, JOINED_PARTS
from proxy.core.rules.model import Names
from proxy.core.transform import Forwardable, apply, plan_request
from proxy.core.values.key_needs import Keys, KeysInUse
from tests.factories import NOW, Trip, a_block, a_message, a_rule, a_session, an_item

JOINS: Final[tuple[JoinKind, ...]] = ("list", "members")

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
    assert (one, hash(one), one.encode()) == (other, hash(other), other.encode())


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
    with pytest.raises(MissingValue, match="name-not-unicode"):
        Context(Scope(name)).encode()


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
        nested(JOINED_DEPTH + 1),
        ["a"] * (JOINED_PARTS + 1),
        [["a"] * (JOINED_PARTS // 2)] * 2,
    ],
)
def test_what_spells_no_name_is_refused(value: object) -> None:
    with pytest.raises(InvalidExpression):
        from_json(value)


def test_as_much_as_is_allowed_is_a_name() -> None:
    assert isinstance(from_json(nested(JOINED_DEPTH)), Joined)
    assert len(from_json(["ab"] * JOINED_PARTS)) == 2 * JOINED_PARTS


def test_a_name_shows_what_it_is_and_is_no_text() -> None:
    name = members("b", "a")
    assert repr(name) == "Joined('members', ('a', 'b'))"
    assert bool(a_list())
    assert name != "1:a1:b"
    assert name not in {"1:a1:b", a_list("a", "b"), ("members", ("a", "b"))}


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


def keys(*scopes: Scope) -> Keys:
    """Return the keys of one session id, for these scopes."""
    sealing = {one: a_session(one) for one in scopes}
    opening = {(scope, one_id): one for scope, one in sealing.items() for one_id in _ids(one)}
    return Keys(sealing, opening)


def _ids(session: Session) -> list[KeyId]:
    sealed = (session.seal(b"", Context(session.scope), form=form) for form in ("jwe", "short"))
    return [decode(one).key_id for one in sealed]


def opens(token: Token, context: Context, at_hand: Keys) -> bool:
    try:
        return KeysInUse(at_hand).open(token, context, NOW)[1] == b"x"
    except OpenFailed:
        return False


@pytest.mark.parametrize("form", ["jwe", "short"])
@pytest.mark.parametrize("place", PLACES)
def test_only_like_opens_like(place: str, form: Form) -> None:
    contexts = {kind: a_context(place, name) for kind, name in NAMES.items()}
    at_hand = keys(*(one.scope for one in contexts.values()))
    for one, other in itertools.product(contexts, contexts):
        session = KeysInUse(at_hand).seal_for(contexts[one].scope)
        token = decode(session.seal(b"x", contexts[one], form=form))
        assert opens(token, contexts[other], at_hand) == (one == other), (one, other)


LETTER: Final = a_list("alice", "bob")


@pytest.mark.parametrize("select", ["body", "part:file"])
def test_streams_are_sealed_and_opened_for_a_joined_name(select: str) -> None:
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

    def through(body: bytes, found: Headers, *, seals: bool) -> Forwardable:
        block = a_block(encrypt=[item]) if seals else a_block(decrypt=[item])
        trip = Trip((a_rule(request=block, names=names),), a_message(body, headers=found))
        plan = plan_request(trip.exchange, body, 1 << 20)
        return apply(plan, keys(Scope(None, LETTER)), NOW).forwardable

    sealed = through(text, headers, seals=True)
    assert sealed.body is not None
    kind = (sealed.frame.media_type or headers[0][1].decode()).encode()
    opened = through(sealed.body, ((b"Content-Type", kind),), seals=False)
    assert opened.body == text
    at = sealed.body.index(b"SYST\x01")
    head = read_head(sealed.body[at : at + 2000])
    assert head is not None
    context = Context(Scope(None, LETTER), "file", kind="stream")
    assert a_session(context.scope).open(head.token, context, NOW)[32:] == b"image/png"


def source(*texts: str) -> ListSource:
    return ListSource(tuple(parse_source(one) for one in texts))
