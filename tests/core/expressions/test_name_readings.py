"""What a known parser reads as a rule's name, Sealyard takes for it: models, foldings, formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.errors import ForbiddenValue
from proxy.core.expressions import name_readings as readings
from proxy.core.expressions.name_readings import FieldNames, are_twins
from proxy.core.expressions.selectors import JsonSelector, Step
from proxy.core.formats.json import Selection
from tests.core.parser_models import FIELDS, HEADERS, MEMBERS, takes

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "names.md"
RULED = ("card", "conversationId", "conversation_id", "room-id", "_id", "id", "X-Room")


def wide(text: str) -> str:
    return "".join(chr(ord(one) + 0xFEE0) if "a" <= one <= "z" else one for one in text)


def snake(text: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in text)


def camel(text: str) -> str:
    first, *rest = text.replace("-", "_").split("_")
    return first + "".join(one.capitalize() for one in rest)


MEMBER_MUTATIONS: dict[str, Callable[[str], str]] = {
    "upper": str.upper,
    "title": lambda text: text[:1].upper() + text[1:],
    "swap": str.swapcase,
    "snake": snake,
    "camel": camel,
    "kebab": lambda text: snake(text).replace("_", "-"),
    "wide": wide,
    "long s": lambda text: text.replace("s", "\u017f"),
    "kelvin": lambda text: text.replace("k", "\u212a"),
    "dotless": lambda text: text.replace("i", "\u0131"),
    "NUL": lambda text: text + "\0x",
    "dots": lambda text: text + ".x",
    "brackets": lambda text: text + "[x]",
    "brackets before": lambda text: f"[]{text}",
    "multiparameter": lambda text: text + "(1i)",
    "quotes": lambda text: f"['{text}']",
    "brackets around": lambda text: f"[[{text}]]",
    "bracket before": lambda text: f"]{text}",
    "space": lambda text: f" {text}\t",
    "BOM": lambda text: f"\ufeff{text}",
    "nothing": lambda text: text,
}
FIELD_MUTATIONS: dict[str, Callable[[str], str]] = {
    **MEMBER_MUTATIONS,
    "plus": lambda text: f"+{text}",
    "list": lambda text: text + "[]",
    "encoded list": lambda text: text + "%5B%5D",
    "in brackets": lambda text: f"[{text}]",
    "quoted": lambda text: f"{text}['x']",
    "marker": lambda text: "_" + text,
    "default": lambda text: "!" + text,
    "converter": lambda text: text + ":int",
    "triplet": lambda text: f"%{ord(text[:1] or 'x'):02x}{text[1:]}" if text.isascii() else text,
    "wide triplet": lambda text: f"%u{ord(text[0]):04x}{text[1:]}" if text else text,
    "percent": lambda text: text.replace("%", "%25"),
    "encoded": lambda text: quote(text, safe="%"),
    "joint": lambda text: text.replace("_", "."),
    "space joint": lambda text: text.replace("_", "+"),
    "leading joint": lambda text: f".{text[1:]}" if text.startswith("_") else text,
    "question": lambda text: f"?{text}",
    "slashes": lambda text: f"/\\{text}",
}


def mutated(mutations: dict[str, Callable[[str], str]]) -> st.SearchStrategy[tuple[str, str]]:
    def through(drawn: tuple[str, list[str]]) -> tuple[str, str]:
        name = drawn[0]
        for one in drawn[1]:
            name = mutations[one](name)
        return drawn[0], name

    steps = st.lists(st.sampled_from(sorted(mutations)), max_size=4)
    return st.tuples(st.sampled_from(RULED), steps).map(through)


def reads_field(spelled: str, ruled: str) -> bool:
    """Tell whether a rule for `ruled` takes or refuses a field, spelled so on the wire."""
    name = unquote_to_bytes(spelled.replace("+", " ")).decode(errors="replace")
    try:
        return name == ruled or bool(FieldNames({0: ruled}).readings(name))
    except ForbiddenValue:
        return True


def reads_member(name: str, ruled: str) -> bool:
    selection = Selection((JsonSelector("$.x", (Step(ruled),)),))
    findings = selection.find(json.dumps({name: 1, "other": 2}).encode())
    return bool(findings.found[0] or findings.twins)


@given(mutated(FIELD_MUTATIONS))
@example(("conversationId", "conversation.id[]"))
@example(("_id", "__id"))
@example(("a__b", "a._b"))
@example(("card", "%2563ard"))
@example(("card", "[card][x]"))
@example(("_id", ".id"))
@example(("_id", "+%2Eid[]"))
@example(("_id", ".id:int"))
@example(("__id", ". id"))
@example(("_id", "-id"))
@example(("_id", "--id"))
def test_a_field_that_a_model_reads_as_a_ruled_one_is_a_twin(names: tuple[str, str]) -> None:
    ruled, spelled = names
    for model in FIELDS.values():
        if takes(model, spelled, ruled):
            assert reads_field(spelled, ruled), (model.__name__, spelled, ruled)


def test_a_member_with_a_nul_within_is_a_twin_of_the_same_without_it() -> None:
    for spelled in (
        "cont\0ent",
        "content\0",
        "\0content",
        "CONT\0ENT",
        "content\0x",
        "content[x]\0",
    ):
        assert reads_member(spelled, "content"), spelled
    assert not reads_member("con\0tra", "content")


@given(mutated(MEMBER_MUTATIONS))
@example(("id", "ID"))
@example(("conversationId", "conversation_id"))
@example(("content", "['content']"))
@example(("content", '["content"].x'))
def test_a_member_that_a_model_reads_as_a_ruled_one_is_a_twin(names: tuple[str, str]) -> None:
    ruled, name = names
    for model in MEMBERS.values():
        if takes(model, name, ruled):
            assert reads_member(name, ruled), (model.__name__, name, ruled)


@given(st.text("XxRroom-_.!~ab", min_size=1), st.sampled_from(["X-Room", "x_room", "b"]))
def test_a_header_that_a_model_reads_as_a_ruled_one_is_a_twin(name: str, ruled: str) -> None:
    for model in HEADERS.values():
        if takes(model, name, ruled):
            assert readings.fold_header(name.encode()) == readings.fold_header(ruled.encode())


@pytest.mark.parametrize(
    ("name", "ruled"),
    [
        ("_id", "id"),
        ("id", "_id"),
        ("ids", "id"),
        ("card number", "card"),
        ("cards", "card"),
        ("discard", "card"),
        ("filter", "card"),
        ("m.new_content", "content"),
        ("constructor", "card"),
    ],
)
def test_names_that_honest_messages_have_side_by_side_are_two(name: str, ruled: str) -> None:
    assert not reads_member(name, ruled)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"Forwarded", True),
        (b"X-Real-IP", True),
        (b"x.real~ip", True),
        (b"X-Forwarded-For", True),
        (b"X.Forwarded.For", True),
        (b"X-Forwarded-User", True),
        (b"X_Script.Name", True),
        (b"X-Real-IP-Of", False),
        (b"Forwarded-For", False),
        (b"X-Request-Id", False),
    ],
)
def test_headers_that_tell_of_the_client_are_known(name: bytes, *, expected: bool) -> None:
    assert expected == readings.tells_of_client(name)


@pytest.mark.parametrize(
    ("name", "ruled"),
    [
        ("filter[card]", "card"),
        ("$filter", "filter2"),
        ("page[number]", "number"),
        ("tags[]", "tag"),
        ("user[card]", "card"),
        ("method", "_method"),
        ("payment.method", "_method"),
        ("utf8", "card"),
        ("authenticity_token", "token"),
        ("cards", "card"),
    ],
)
def test_fields_that_honest_forms_have_side_by_side_are_two(name: str, ruled: str) -> None:
    assert not FieldNames({0: ruled}).readings(name)


@pytest.mark.parametrize(
    "name",
    ["__proto__[card]", "constructor[prototype][card]", "a[__proto__]", "%5f_proto__", "__proto__"],
)
def test_fields_that_lead_to_a_prototype_are_refused(name: str) -> None:
    with pytest.raises(ForbiddenValue, match="name-hidden"):
        FieldNames({0: "card"}).readings(name)


def test_what_is_encoded_more_often_than_anybody_decodes_is_another_name() -> None:
    name = "c%61rd".replace("%", "%25252525252525")
    assert not FieldNames({0: "card"}).readings(name)


def test_what_differs_in_case_alone_is_told_apart() -> None:
    names = FieldNames({0: "card", 1: "pay[card]"})
    assert [tuple(one) for one in names.readings("Card")] == [(0, True)]
    assert [tuple(one) for one in names.readings("Pay[CARD]")] == [(1, True)]
    assert [tuple(one) for one in names.readings("card[]")] == [(0, False)]
    assert FieldNames({0: "x"})
    assert not FieldNames({})


@pytest.mark.parametrize(
    "name",
    [
        "[]content",
        "[[content]]",
        "][content]",
        "[content",
        "]content.x",
        "].content",
        "[]['content']",
        "[.['content']",
        '[]["content"]',
        "['c\\ontent']",
        "[[Con_tent]",
        "content(1)",
        "content(12i)",
        "content()",
        "content (1)",
        "\tcontent\n",
    ],
)
def test_a_member_that_a_path_or_a_number_leads_to_is_a_twin(name: str) -> None:
    assert reads_member(name, "content")


@pytest.mark.parametrize(
    "name",
    [
        ".content",
        "..content",
        "content(old)x",
        "content (old)",
        "content(1ii)",
        "content:int",
        "m.content",
        "[x]content",
        "(1)",
        "[]",
        "['']content",
        "[].",
    ],
)
def test_a_member_whose_path_begins_elsewhere_is_no_twin(name: str) -> None:
    assert not reads_member(name, "content")


def test_steps_without_end_are_not_followed() -> None:
    assert list(readings.readings_of_field("a" + "[b]" * 100, 1000))[-1] == "a" + "b" * 31


def test_the_page_says_of_each_folding_which_parsers_have_it() -> None:
    """The page alone has the parsers: what is joined, and where, is told by its two tables."""
    rows = [
        tuple(cell.strip() for cell in line.strip("| ").split(" | "))
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ")
    ]
    parsers = [row for row in rows if len(row) == 3 and row[1] in PLACES]
    foldings = {row[0]: row[2].split(", ") for row in rows if set(row[2].split(", ")) <= {*PLACES}}
    assert len(parsers) > 20
    assert foldings == {
        folding: [
            place
            for place in PLACES
            if any(place == where and folding in has.split(", ") for _, where, has in parsers)
        ]
        for _, _, told in parsers
        for folding in told.split(", ")
    }


PLACES = ("members", "fields", "headers")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("createdAt", ["createdat"]),
        ("-full_name,id", ["fullname", "id"]),
        ("full-name:asc", ["fullname", "full", "name", "asc"]),
        ("te%2578t", ["text"]),
        ('{"a":1}', ["a", "1"]),
        (" ,;", []),
    ],
)
def test_words_of_a_value_are_folded_as_members_are(text: str, words: list[str]) -> None:
    assert list(readings.words_of(text)) == words


@pytest.mark.parametrize("name", ["card\0x", "card%00.x", "?card%00"])
def test_a_name_of_a_rule_ends_where_it_has_a_nul_and_no_field_has_one(name: str) -> None:
    """PHP and what is written in C read no further."""
    assert readings.fold_field(name) == "card"
    with pytest.raises(ForbiddenValue, match="no-name"):
        FieldNames({0: "card"}).readings(name)


@pytest.mark.parametrize("name", ["Content", "con_tent", "content[x]", "content.x"])
def test_names_that_some_parser_joins_are_twins(name: str) -> None:
    assert are_twins(name, "content")
    assert not are_twins(name, "contents")
