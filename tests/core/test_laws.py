"""Laws of the whole: what goes in comes back, nothing else changes, and nothing opens elsewhere."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from random import Random  # noqa: TID251 - a run can be had again by its seed

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto import token
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import Form
from proxy.core.errors import OpenFailed, SealyardError
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.rules.model import Names, Rule
from proxy.core.transform import plan_request
from proxy.core.values.hows import Span
from proxy.core.values.table import splice
from tests.core.json_texts import RandomTexts, documents, literals, spaces
from tests.factories import (
    JSON_TYPE,
    NOW,
    SCOPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    replied,
    sent,
)

MANY = 1_000_000
FORMS = st.sampled_from(["jwe", "short"])
OWN = Names(conversation=parse_source("$.conversationId"))


@cache
def round_trip_rule(form: Form) -> Rule:
    items = [
        an_item("$.v", form=form, optional=True),
        an_item("$.w.*", field="w", form=form, optional=True),
        an_item("$..x", field="deep", form=form, optional=True),
    ]
    block = replace(a_block(encrypt=items), case_variants_allowed=True)
    return a_rule(request=block, response=a_block(decrypt=items, names=OWN))


small = documents(literals.filter(lambda one: json.loads(one) != "x"))


@pytest.mark.no_cover
@given(small, small, small, spaces, FORMS)
def test_any_value_comes_back_and_nothing_beside_it_changes(
    value: str, wide: str, rest: str, space: str, form: Form
) -> None:
    assume("null" not in {value, wide})
    comes_back(value, wide, rest, space, form)


def comes_back(value: str, wide: str, rest: str, space: str, form: Form) -> None:
    parts = (
        f'{space}{{"conversationId":"c1",{space}"v":',
        value,
        f' ,"w"{space}:[',
        wide,
        f'], "rest":{rest}}}{space}',
    )
    rule = round_trip_rule(form)
    sealed = sent(rule, a_message("".join(parts))).decode()
    assert sealed.startswith(parts[0] + '"')
    assert sealed.endswith('"' + parts[4])
    assert f'"{parts[2]}"' in sealed
    assert '"sy1.' in sealed if form == "short" else '"eyJ0eXAiOiJzeTEi' in sealed
    back = replied(rule, sealed).decode()
    if value.startswith('"') or wide.startswith('"'):
        assert json.loads("".join(parts)) == json.loads(back)
    else:
        assert "".join(parts) == back


@pytest.mark.slow
@pytest.mark.no_cover
def test_a_million_random_documents_come_back(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """Most are small; hypothesis, which makes better ones, is a hundred times slower."""
    monkeypatch.setattr("tests.factories.RuleTable", cache(RuleTable))  # two rules for all
    seed, made = secrets.randbits(32), 0
    texts = RandomTexts(Random(seed))  # noqa: S311 - as above
    while made < MANY:
        value, wide, rest, space = texts.value(), texts.value(), texts.value(), texts.space()
        form: Form = "jwe" if made % 2 else "short"
        try:
            comes_back(value, wide, rest, space, form)
        except BaseException as error:
            error.add_note(f"seed {seed}, document {made}: {(value, wide, rest, space, form)!r}")
            raise
        made += 1
    record_property("documents", f"{made:,}")


def spans(text: str) -> list[Span]:
    return [(at, at + 2, b"<%d>" % at if at % 2 else b"") for at in range(0, len(text) - 1, 3)]


@given(st.text("abc", max_size=30))
def test_a_splice_keeps_everything_else(text: str) -> None:
    changes = spans(text)
    expected = text.encode()
    for start, end, new in reversed(changes):
        expected = expected[:start] + new + expected[end:]
    assert expected == splice(text.encode(), changes)
    assert expected == splice(text.encode(), changes[::-1])


CONTEXT = Context(SCOPE, field="content")


@pytest.mark.parametrize("form", ["jwe", "short"])
@pytest.mark.parametrize("cty", [None, "json"])
def test_one_flipped_bit_anywhere_in_a_token_is_refused(form: Form, cty: str | None) -> None:
    text = a_session().seal(b"Meet me", CONTEXT, form=form, cty=cty)
    for at in range(len(text)):
        for bit in range(8):
            flipped = text[:at] + bytes((text[at] ^ 1 << bit,)) + text[at + 1 :]
            with pytest.raises(OpenFailed):
                a_session().open(token.decode(flipped), CONTEXT, NOW)


@given(st.binary(max_size=40), FORMS, st.data())
def test_a_token_with_some_bytes_changed_is_refused(
    plaintext: bytes, form: Form, data: st.DataObject
) -> None:
    text = a_session().seal(plaintext, CONTEXT, form=form)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    new = data.draw(st.text("ABab01-_.=", max_size=4)).encode()
    changed = text[:start] + new + text[end:]
    assume(changed != text)
    with pytest.raises(OpenFailed):
        a_session().open(token.decode(changed), CONTEXT, NOW)


BOUND = ("tenant", "conversation", "field", "message", "purpose")
names = st.none() | st.text(max_size=4)
contexts = st.builds(
    Context,
    scope=st.builds(Scope, tenant=names, conversation=names, parties=st.none()),
    field=names,
    message=names,
    purpose=names,
    kind=st.sampled_from([None, "body", "stream"]),
)


@given(contexts, contexts, FORMS, st.booleans())
def test_a_token_opens_in_its_own_context_alone(
    one: Context,
    other: Context,
    form: Form,
    ephemeral: bool,  # noqa: FBT001 - drawn
) -> None:
    text = a_session(one.scope, ephemeral=ephemeral).seal(b"x", one, form=form)
    session = a_session(other.scope, ephemeral=ephemeral)
    if one == other:
        assert session.open(token.decode(text), other, NOW) == b"x"
    else:
        with pytest.raises(OpenFailed):
            session.open(token.decode(text), other, NOW)


MOVES = [
    ('{"conversationId":"c2","content":%s}', None),
    ('{"conversationId":"c1","subject":%s}', None),
    ('{"conversationId":"c1","content":%s}', "other"),
    ('{"conversationId":1,"content":%s}', None),
]


@pytest.mark.parametrize("form", ["jwe", "short"])
@pytest.mark.parametrize(("target", "tenant"), MOVES)
def test_a_token_in_another_place_of_a_message_is_refused(
    form: Form, target: str, tenant: str | None
) -> None:
    items = [an_item(f"$.{one}", form=form, optional=True) for one in ("content", "subject")]
    sealing = a_rule(request=a_block(encrypt=items))
    sealed = json.loads(sent(sealing, a_message()))["content"]
    by_tenant = Names(parse_source(f"const:{tenant or 'clinic'}"), OWN.conversation)
    opening = a_rule(request=a_block(decrypt=items), names=by_tenant)
    with pytest.raises(OpenFailed):
        sent(opening, a_message(target % json.dumps(sealed)))


WIDE = a_rule(
    request=(
        a_block(
            encrypt=["$.content", an_item("$.list.*", optional=True)],
            plain=["$.card", "$.list.*.a"],
        ),
        a_block(decrypt=["text"], types=("text/plain",)),
        a_block(encrypt=["body"], types=("*/*",)),
    ),
    response=(a_block(decrypt=["$.content", "$..x"]), a_block(encrypt=["text"])),
)
types = st.sampled_from(
    [b"application/json", b"text/plain", b"image/png", b"a/b; charset=x", b"", b"\xff"]
)
bodies = (
    st.binary(max_size=30)
    | documents().map(str.encode)
    | documents().map(lambda one: f'{{"conversationId":"c","content":{one}}}'.encode())
    | st.just(a_session().seal(b"x", CONTEXT))
)
headers = st.lists(st.tuples(st.just(b"Content-Type"), types), max_size=2).map(tuple)


@given(bodies, headers)
def test_any_request_is_planned_or_refused(body: bytes, head: Headers) -> None:
    try:
        Trip((WIDE,), a_message(body, headers=head)).request()
    except SealyardError as error:
        assert error.status in {400, 413, 415}  # noqa: PT017 - either outcome is lawful


@given(bodies, headers, st.sampled_from([200, 204, 404, 500]))
def test_any_response_is_planned_or_refused(body: bytes, head: Headers, status: int) -> None:
    trip = Trip((WIDE,), a_message())
    trip.request()
    try:
        trip.response(body, a_response(status, head))
    except SealyardError as error:
        assert error.status in {400, 413, 415}  # noqa: PT017 - either outcome is lawful


def test_planning_needs_no_key_and_changes_nothing() -> None:
    message = a_message()
    rule = a_rule(request=a_block(encrypt=["$.content"]))
    decision = RuleTable((rule,), pass_unmatched=True).decide("POST", canonical(message.head.path))
    plans = [plan_request(Exchange(decision, message.head), message.body) for _ in range(2)]
    assert plans[0].needs == plans[1].needs
    assert plans[0].needs.seals == {SCOPE: 1}
    assert plans[0].body == message.body
    assert message.head.headers == JSON_TYPE
