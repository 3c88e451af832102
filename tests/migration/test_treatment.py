from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.expressions.selectors import parse_json_selector
from proxy.keys.keyring import poison
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.merging import adopt
from proxy.keys.keyring.name_keys import record_name
from proxy.keys.sessions.durable import durable_session
from proxy.migration.job.model import Column
from proxy.migration.job.names import Binding, ColumnSource, JoinedSource
from proxy.migration.values.cells import ABSENT, NOT_TEXT
from proxy.migration.values.states import Outcome
from proxy.migration.values.treatment import Treated
from tests.keys.builders import NOW, a_keyring, some_bytes
from tests.migration.builders import BINDING, Bench, a_row, a_table

SCOPE = Scope("clinic", "c1")
CONTEXT = Context(SCOPE, "content")
SID = NOW.to_bytes(4) + b"12345678"


def session(keyring: Keyring, kek: str = "k1", scope: Scope = SCOPE) -> Session:
    return durable_session(keyring.entry(kek), SID, scope)


def outcomes(one: Treated) -> list[Outcome]:
    return [outcome for _, outcome in one.kept] + [changed.before for changed in one.changed]


async def state(bench: Bench, cell: bytes, column: Column | None = None) -> Outcome:
    table = a_table(*(() if column is None else (column,)))
    (one,) = await bench.treat("verify", table, a_row(cell))
    (outcome,) = outcomes(one)
    return outcome


@pytest.mark.parametrize("form", ["jwe", "short", "base64"])
@pytest.mark.parametrize("text", [b"", b"hello", b"aGVsbG8=", "Grüße \0 🌍".encode()])
async def test_what_is_sealed_and_opened_has_the_bytes_that_it_had(form: str, text: bytes) -> None:
    bench = Bench(a_keyring())
    table = a_table(replace(a_table().columns[0], form=form))  # type: ignore[arg-type] # one of FORMS
    (sealed,) = await bench.treat("seal", table, a_row(text))
    if form == "base64" and text not in {b"", b"aGVsbG8="}:
        assert outcomes(sealed) == [Outcome("unfit", "", "not-base64")]
        return
    cell = sealed.cells[0]
    assert cell is not None
    assert cell != text
    (again,) = await bench.treat("seal", table, a_row(cell))
    (opened,) = await bench.treat("open", table, a_row(cell))

    assert [one.after for one in sealed.changed] == [Outcome("sealed-now", "k1")]
    assert (again.changed, outcomes(again)) == ([], [Outcome("sealed", "k1")])
    assert opened.cells == [text]


ESCAPES = {"all": r"\u{:04x}", "PHP": "\\/", ".NET": r"\u002B", "Gson": r"\u003d"}


def escaped(text: bytes, by: str) -> bytes:
    """Return a JSON string as a serializer writes it that escapes more than it must."""
    spelled = ESCAPES[by]
    letters = {"PHP": "/", ".NET": "+", "Gson": "="}.get(by)
    return (
        b'"%s"'
        % "".join(
            spelled.format(ord(one)) if letters is None or one == letters else one
            for one in text.decode()
        ).encode()
    )


@pytest.mark.parametrize("by", ESCAPES)
@pytest.mark.parametrize("form", ["jwe", "short", "base64"])
async def test_a_token_is_found_however_a_serializer_escapes_it(form: str, by: str) -> None:
    bench = Bench(a_keyring())
    column = Column("content", BINDING, parse_json_selector("$[*].text"), form=form)  # type: ignore[arg-type] # one of FORMS
    plain = base64.b64encode(bytes(range(255)) * 4)
    (sealed,) = await bench.treat("seal", a_table(column), a_row(b'[{"text": "%s"}]' % plain))
    token = json.loads(sealed.cells[0] or b"")[0]["text"].encode()
    cell = b'[{"text": %s}]' % escaped(token, by)
    assert (escaped(token, by) != b'"%s"' % token) == (by == "all" or form == "base64")
    (again,) = await bench.treat("seal", a_table(column), a_row(cell))
    (opened,) = await bench.treat("open", a_table(column), a_row(cell))

    assert (again.changed, outcomes(again)) == ([], [Outcome("sealed", "k1")])
    assert opened.cells == [b'[{"text": "%s"}]' % plain]


async def test_an_escaped_text_that_looks_like_a_token_comes_back_byte_for_byte() -> None:
    bench = Bench(a_keyring())
    column = Column("content", BINDING, parse_json_selector("$.a"))
    cell = b'{"a": "sy1. is \\/ a name"}'
    (left,) = await bench.treat("seal", a_table(column), a_row(cell))
    demanded = a_table(replace(column, lookalikes=True))
    (sealed,) = await bench.treat("seal", demanded, a_row(cell))
    (opened,) = await bench.treat("open", demanded, a_row(sealed.cells[0]))

    assert [one.state for one in outcomes(left)] == ["unreadable"]
    assert opened.cells == [cell]


async def test_the_states_of_tokens_are_told_apart() -> None:
    keyring = a_keyring("k2")
    bench = Bench(keyring)
    mine, strange = session(keyring), session(a_keyring(), "k1")
    other = session(keyring, scope=Scope("clinic", "c2"))

    assert await state(bench, mine.seal(b"x", CONTEXT)) == Outcome("sealed", "k1")
    assert await state(bench, session(keyring, "k2").seal(b"x", CONTEXT)) == Outcome("sealed", "k2")
    assert await state(bench, strange.seal(b"x", CONTEXT)) == Outcome(
        "unreadable", "k1", "wrong-context"
    )
    assert await state(bench, mine.seal(b"x", Context(SCOPE, "title"))) == Outcome(
        "misplaced", "k1"
    )
    assert await state(bench, other.seal(b"x", Context(Scope("clinic", "c2"), "content"))) == (
        Outcome("unreadable", "k1", "wrong-context")
    )
    assert await state(bench, b"sy1. is a name") == Outcome(
        "unreadable", "", "base64-not-canonical"
    )
    assert await state(bench, mine.seal(b"x", CONTEXT, exp=NOW - 999)) == Outcome(
        "unreadable", "k1", "expired-token"
    )


@pytest.mark.parametrize(
    ("around", "select"),
    [
        (b"Re: %s", None),
        (b" %s", None),
        (b'{"subject": "%s"}', None),
        (b'{"a": "Re: %s"}', "$.a"),
        (b'{"a": {"b": ["%s"]}}', "$.a"),
        (b"see %s and %s", None),
    ],
)
async def test_a_token_within_a_text_is_told(around: bytes, select: str | None) -> None:
    bench = Bench(a_keyring())
    column = Column("content", BINDING, None if select is None else parse_json_selector(select))
    token = session(bench.keyring).seal(b"x", CONTEXT)
    cell = around.replace(b"%s", token)
    (sealed,) = await bench.treat("seal", a_table(column), a_row(cell))
    (opened,) = await bench.treat("open", a_table(column), a_row(sealed.cells[0]))

    assert await state(bench, cell, column) == Outcome("plain", "", "holds-a-token")
    assert await state(bench, sealed.cells[0] or b"", column) == (
        Outcome("sealed", "k1", "holds-a-token")
    )
    assert [one.after for one in opened.changed] == [Outcome("opened", "k1", "holds-a-token")]
    assert opened.cells == [cell]


async def test_a_text_that_cannot_be_searched_for_tokens_may_hold_one() -> None:
    deep = b"[" * 2000 + b'"eyJ0eXAiOiJzeTEi"' + b"]" * 2000
    column = Column("content", BINDING)

    assert (await state(Bench(a_keyring()), deep, column)).reason == "holds-a-token"
    assert await state(Bench(a_keyring()), b"easy1.com", column) == Outcome("plain")


async def test_a_token_under_an_unknown_kek_is_reported_by_its_name() -> None:
    strange = a_keyring("k9")
    token = session(strange, "k9").seal(b"x", CONTEXT)

    assert await state(Bench(a_keyring()), token) == Outcome("unreadable", "k9", "unknown-key")


async def test_a_short_token_of_another_context_is_unreadable() -> None:
    keyring = a_keyring()
    token = session(keyring).seal(b"x", Context(SCOPE, "title"), form="short")

    assert await state(Bench(keyring), token) == Outcome("unreadable", "number 1", "wrong-context")


async def test_a_poison_token_stays_whatever_the_verb() -> None:
    keyring = a_keyring()
    token, _ = poison.make(keyring, NOW, poison.Looks("jwe", 20), random=some_bytes)
    for verb in ("seal", "verify", "reseal", "open"):
        (one,) = await Bench(keyring).treat(verb, a_table(), a_row(token.encode()))
        assert (one.cells, outcomes(one)) == ([None], [Outcome("poison")])


async def test_what_looks_like_a_token_is_sealed_only_on_demand() -> None:
    bench = Bench(a_keyring())
    column = a_table().columns[0]
    for text in (b"sy1. is a name", session(a_keyring()).seal(b"x", CONTEXT)):
        (left,) = await bench.treat("seal", a_table(), a_row(text))
        (sealed,) = await bench.treat(
            "seal", a_table(replace(column, lookalikes=True)), a_row(text)
        )
        (opened,) = await bench.treat("open", a_table(), a_row(sealed.cells[0]))

        assert left.cells == [None]
        assert opened.cells == [text]


async def test_values_without_a_name_or_text_are_left_and_counted() -> None:
    bench = Bench(a_keyring())
    (nameless,) = await bench.treat("seal", a_table(), a_row(b"x", names=("clinic", None)))
    (empty,) = await bench.treat("seal", a_table(), a_row(b"x", names=("", "c1")))
    (number,) = await bench.treat("seal", a_table(), a_row(NOT_TEXT))
    (null,) = await bench.treat("seal", a_table(), a_row(None))
    (absent,) = await bench.treat("seal", a_table(), a_row(ABSENT))

    assert outcomes(nameless) == outcomes(empty) == [Outcome("nameless")]
    assert outcomes(number) == [Outcome("not-text")]
    assert outcomes(null) == [Outcome("null")]
    assert outcomes(absent) == [Outcome("absent")]
    assert {*nameless.cells, *empty.cells, *number.cells, *null.cells, *absent.cells} == {None}


async def test_a_value_that_would_not_fit_is_left() -> None:
    bench = Bench(a_keyring())
    column = a_table().columns[0]
    short = replace(column, form="short")
    (by_job,) = await bench.treat("seal", a_table(replace(short, max_chars=80)), a_row(b"x" * 9))
    (by_width,) = await bench.treat("seal", a_table(short), a_row(b"x" * 9), widths=(80,))
    (fits,) = await bench.treat("seal", a_table(short), a_row(b"x" * 9), widths=(96,))

    assert outcomes(by_job) == outcomes(by_width) == [Outcome("too-long")]
    assert (by_job.cells, by_width.cells) == ([None], [None])
    assert fits.cells != [None]


async def test_a_json_cell_that_would_not_fit_is_left_whole() -> None:
    keyring = a_keyring()
    column = Column("history", BINDING, parse_json_selector("$[*]"))
    token = session(keyring).seal(b"x", CONTEXT).decode()
    cell = json.dumps(["a", token, "b"]).encode()
    (one,) = await Bench(keyring).treat("seal", a_table(column), a_row(cell), widths=(300,))

    assert one.cells == [None]
    assert outcomes(one) == [Outcome("too-long"), Outcome("sealed", "k1"), Outcome("too-long")]


async def test_an_opened_value_that_would_not_fit_is_left() -> None:
    keyring = a_keyring()
    token = session(keyring).seal(b"x" * 300, CONTEXT)
    (one,) = await Bench(keyring).treat("open", a_table(), a_row(token), widths=(255,))

    assert (one.cells, outcomes(one)) == ([None], [Outcome("too-long")])


@pytest.mark.parametrize(
    "cell",
    [
        '[{"text": "a"}, {"text": 17, "at": 1.50}, {}, {"text": null}]',
        '[ {"text":"caf\\u00e9 \\/ \\ud83c\\udf0d"} ,{"text":{"deep": [1,  2]}}]',
        "[]",
    ],
)
async def test_values_in_json_are_sealed_and_come_back_byte_for_byte(cell: str) -> None:
    bench = Bench(a_keyring())
    table = a_table(Column("history", BINDING, parse_json_selector("$[*].text")))
    (sealed,) = await bench.treat("seal", table, a_row(cell.encode()))
    new = sealed.cells[0] or cell.encode()
    (again,) = await bench.treat("seal", table, a_row(new))
    (opened,) = await bench.treat("open", table, a_row(new))

    assert again.changed == []
    assert rb"caf\u00e9" not in new
    assert b'"deep"' not in new
    assert (opened.cells[0] or new) == cell.encode()


async def test_a_cell_in_which_nothing_is_selected_is_counted_as_such() -> None:
    table = a_table(Column("history", BINDING, parse_json_selector("$[*].txet")))
    (one,) = await Bench(a_keyring()).treat("seal", table, a_row(b'[{"text": "a"}]'))

    assert (one.cells, outcomes(one)) == ([None], [Outcome("unselected")])


async def test_values_in_json_within_json_come_back() -> None:
    bench = Bench(a_keyring())
    table = a_table(Column("edits", BINDING, parse_json_selector("$.was json:$[*].text")))
    cell = json.dumps(
        {"was": json.dumps([{"text": 'say "hé"'}], ensure_ascii=False)}, ensure_ascii=False
    )
    (sealed,) = await bench.treat("seal", table, a_row(cell.encode()))
    assert sealed.cells[0] is not None
    (opened,) = await bench.treat("open", table, a_row(sealed.cells[0]))

    assert "hé".encode() not in sealed.cells[0]
    assert opened.cells == [cell.encode()]


@pytest.mark.parametrize("cell", [b"", b"no json", b'[{"text": "a", "text": "b"}]', b"[1] 2"])
async def test_a_cell_that_is_no_json_is_left(cell: bytes) -> None:
    table = a_table(Column("history", BINDING, parse_json_selector("$[*].text")))
    (one,) = await Bench(a_keyring()).treat("seal", table, a_row(cell))

    assert one.cells == [None]
    assert [outcome.state for outcome in outcomes(one)] == ["not-json"]


async def test_reseal_brings_everything_under_the_primary_kek_and_the_current_binding() -> None:
    keyring = a_keyring("k2").promote("k2")
    former = replace(BINDING, field="text")
    column = replace(a_table().columns[0], form="short", former=(former,))
    old, new = session(keyring), session(keyring, "k2")
    cells = [
        old.seal(b"x", CONTEXT),
        old.seal(b"x", CONTEXT, form="short"),
        new.seal(b"x", CONTEXT),
        new.seal(b"x", Context(SCOPE, "text"), form="short"),
    ]
    bench = Bench(keyring)
    rows = [a_row(cell, key=at) for at, cell in enumerate(cells)]
    treated = await bench.treat("reseal", a_table(column), *rows)
    made = [a_row(one.cells[0]) for one in treated]
    again = await bench.treat("reseal", a_table(column), *made)
    opened = await bench.treat("open", a_table(column), *made)

    assert [one.changed[0].before for one in treated] == [
        Outcome("sealed", "k1"),
        Outcome("sealed", "k1"),
        Outcome("sealed", "k2"),
        Outcome("former", "k2"),
    ]
    assert all(cell.cells[0] and cell.cells[0].startswith(b"sy1.") for cell in treated)
    assert [outcomes(one) for one in again] == [[Outcome("sealed", "k2")]] * 4
    assert [one.cells for one in opened] == [[b"x"]] * 4


async def test_reseal_takes_over_from_an_adopted_keyring_but_nothing_revoked() -> None:
    theirs, ours = create("theirs", now=NOW, random=some_bytes), a_keyring()
    tokens = [session(theirs, "theirs").seal(b"x", CONTEXT, form=one) for one in ("jwe", "short")]
    bench = Bench(adopt(ours, theirs, now=NOW))
    treated = await bench.treat("reseal", a_table(), *map(a_row, tokens))
    assert [(one.changed[0].before, one.changed[0].after) for one in treated] == [
        (Outcome("sealed", "theirs"), Outcome("resealed", "k1"))
    ] * 2
    opened = await Bench(ours).treat("open", a_table(), *[a_row(one.cells[0]) for one in treated])
    assert [one.cells for one in opened] == [[b"x"]] * 2

    revoked = theirs.revoke(record_name(theirs.name_key, SCOPE), NOW + 1)
    bench = Bench(adopt(ours, revoked, now=NOW))
    (left,) = await bench.treat("reseal", a_table(), a_row(tokens[0]))
    assert (left.cells, outcomes(left)) == (
        [None],
        [Outcome("unreadable", "theirs", "revoked-session")],
    )


async def test_reseal_keeps_when_a_token_ends_and_refuses_a_form_that_cannot() -> None:
    keyring = a_keyring("k2").promote("k2")
    token = session(keyring).seal(b"x", CONTEXT, exp=NOW + 100)
    bench = Bench(keyring)
    (kept,) = await bench.treat("reseal", a_table(), a_row(token))
    short = replace(a_table().columns[0], form="short")
    (refused,) = await bench.treat("reseal", a_table(short), a_row(token))
    later = Bench(keyring, NOW + 1000)
    (ended,) = await later.treat("verify", a_table(), a_row(kept.cells[0]))

    assert outcomes(ended) == [Outcome("unreadable", "k2", "expired-token")]
    assert outcomes(refused) == [Outcome("unfit", "k1", "short-form-has-no-end")]


async def test_members_are_one_name_in_any_order_of_their_columns() -> None:
    binding = Binding(
        None, JoinedSource("members", (ColumnSource("a"), ColumnSource("b"))), "content"
    )
    table, bench = a_table(binding=binding), Bench(a_keyring("k2"))
    row = a_row(b"x", names=("alice", "bob"))
    (sealed,) = await bench.treat("seal", table, row)
    (again,) = await bench.treat("reseal", table, row._replace(cells=(sealed.cells[0],)))
    swapped = row._replace(cells=(sealed.cells[0],), names=("bob", "alice"))
    (same,) = await bench.treat("open", table, swapped)

    assert again.changed == []
    assert same.cells == [b"x"]
