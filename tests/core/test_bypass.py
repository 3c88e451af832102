"""The table of spellings by which a request could slip past a rule: none does.

The rule is `POST /api/pay`, sealing `$.card`. Rows that only the gate can decide (methods, forms of
the request target) are left to it.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import (
    ForbiddenValue,
    InvalidBody,
    MissingValue,
    SealyardError,
    UnlistedName,
    UnsupportedBody,
)
from proxy.core.http.message import Headers, RequestHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.rules.model import Rule
from proxy.core.transform import pass_request
from tests.factories import JSON_TYPE, a_block, a_message, a_rule, an_item, send, sent

TABLE = Path(__file__).parent.parent / "vectors" / "smuggling" / "path-bypass.tsv"
OF_THE_GATE = {"m02", "m03", "m05", "p36", "p37", "p38"}
NUMBER = "4111222233334444"  # so long that no token has it by chance
CARD = f"{NUMBER}-CANARY"

SEALED = an_item("$.card", bind=["tenant", "field"])
RULE = a_rule("POST /api/pay", request=a_block(encrypt=[SEALED]))


@dataclass(frozen=True)
class Row:
    id: str
    spelling: str
    expected: str


def rows(first: str) -> list[Row]:
    lines = [line.split("\t") for line in TABLE.read_text().splitlines() if line[0] != "#"]
    found = [Row(line[0], line[1].encode().decode("unicode_escape"), line[2]) for line in lines]
    return [row for row in found if row.id[0] == first and row.id not in OF_THE_GATE]


def outcome(rules: tuple[Rule, ...], target: str) -> str:
    """Return what becomes of a POST: `RULE`, `PASS` (unruled) or the status of the refusal."""
    path, mark, query = target.partition("?")
    try:
        where = canonical(path)
        decision = RuleTable(rules, pass_unmatched=True).decide("POST", where)
    except SealyardError as error:
        return str(error.status)
    if decision.rule is not RULE:
        return "PASS"
    head = RequestHead("POST", where.text, query if mark else None, JSON_TYPE)
    assert head.path == "/api/pay"
    return "RULE"


@pytest.mark.parametrize("row", rows("p"), ids=lambda row: row.id)
def test_no_spelling_of_a_path_passes_without_its_rule(row: Row) -> None:
    public = a_rule("/public/**", name="public")
    for rules in ((RULE,), (public, RULE)):
        allowed = {"RULE": {"RULE"}, "400": {"400"}, "SAME-OR-400": {"RULE", "400"}}[row.expected]
        assert outcome(rules, row.spelling) in allowed


def test_the_table_is_there() -> None:
    assert len(rows("p")) >= 30
    assert len(rows("m")) == 1
    assert len(rows("b")) >= 15


def test_the_method_of_the_rule_meets_it() -> None:
    assert [row.spelling for row in rows("m")] == ["POST"]
    assert outcome((RULE,), "/api/pay") == "RULE"


GZIP = (*JSON_TYPE, (b"Content-Encoding", b"gzip"))


@pytest.mark.parametrize(
    ("row", "body", "headers", "error", "status"),
    [
        ("b02", '{"card":"a","card":"b"}', JSON_TYPE, InvalidBody, 400),
        ("b02", '{"card":"a","\\u0063ard":"b"}', JSON_TYPE, InvalidBody, 400),
        ("b03", '{"Card":"4111"}', JSON_TYPE, ForbiddenValue, 400),
        ("b03", '{"card":"1","CARD":"4111"}', JSON_TYPE, ForbiddenValue, 400),
        ("b03", '{"card":"1","\\u0043ard":"4111"}', JSON_TYPE, ForbiddenValue, 400),
        ("b07", '{"card":"1"}', ((b"Content-Type", b"text/plain"),), UnsupportedBody, 415),
        ("b08", '{"card":"1"}', (), UnsupportedBody, 415),
        (
            "b09",
            '{"card":"1"}',
            ((b"Content-Type", b"application/json;charset=utf-7"),),
            UnsupportedBody,
            415,
        ),
        ("b14", '[{"card":"4111"}]', JSON_TYPE, MissingValue, 400),
        ("b14", '{"x":{"card":"4111"}}', JSON_TYPE, MissingValue, 400),
        ("b15", gzip.compress(b'{"card":"1"}', mtime=0)[:-1], GZIP, InvalidBody, 400),
        ("b17", "x", (*JSON_TYPE, (b"Content-Encoding", b"gzip, gzip")), UnsupportedBody, 415),
        ("b18", "x", (*JSON_TYPE, (b"content-encoding", b"foo")), UnsupportedBody, 415),
        ("b21", '{"card":"4111"}\0', JSON_TYPE, InvalidBody, 400),
        ("b21", '{"card":"4111"}x', JSON_TYPE, InvalidBody, 400),
        ("b21", '{"card":"4111"}{"card":"4111"}', JSON_TYPE, InvalidBody, 400),
        ("b24", '// c\n{"card":"4111"}', JSON_TYPE, InvalidBody, 400),
        ("b24", '{card:"4111"}', JSON_TYPE, InvalidBody, 400),
        ("b24", "{'card':'4111'}", JSON_TYPE, InvalidBody, 400),
        ("twice", '{"card":"1"}', JSON_TYPE + JSON_TYPE, UnsupportedBody, 415),
        ("odd type", '{"card":"1"}', ((b"content-type", b"application/"),), UnsupportedBody, 415),
        ("BOM", '\ufeff{"card":"1"}', JSON_TYPE, InvalidBody, 400),
        ("empty", "", JSON_TYPE, MissingValue, 400),
        ("null", '{"card":null}', JSON_TYPE, MissingValue, 400),
    ],
)
def test_a_body_that_backends_could_read_otherwise_is_refused(
    row: str, body: str | bytes, headers: Headers, error: type[SealyardError], status: int
) -> None:
    with pytest.raises(error) as caught:
        send(RULE, a_message(body, target="/api/pay", headers=headers))
    assert status == caught.value.status


@pytest.mark.parametrize(
    ("row", "body", "headers"),
    [
        ("plain", f'{{"card":"{CARD}"}}', JSON_TYPE),
        ("b01", f'{{"\\u0063ard":"{CARD}"}}', JSON_TYPE),
        ("b16", f'{{"card":"{CARD}"}}', (*JSON_TYPE, (b"Content-Encoding", b"Identity"))),
        ("b16", f'{{"card":"{CARD}"}}', (*JSON_TYPE, (b"Content-Encoding", b""))),
        ("b22", f'{{"card":{NUMBER}}}', JSON_TYPE),
        ("+json", f'{{"card":"{CARD}"}}', ((b"content-type", b"application/x+json"),)),
    ],
)
def test_a_body_that_all_read_alike_is_sealed(row: str, body: str, headers: Headers) -> None:
    out = sent(RULE, a_message(body, target="/api/pay", headers=headers))
    assert NUMBER.encode() not in out
    assert b"eyJ0eXAiOiJzeTEi" in out


def test_a_value_in_the_query_is_refused_where_the_rule_lists_none() -> None:
    rule = a_rule("POST /api/pay", request=a_block(encrypt=[SEALED], plain=[]))
    with pytest.raises(UnlistedName):
        send(rule, a_message('{"card":"1"}', target="/api/pay?c%61rd=4111"))


def test_a_request_that_a_rule_reads_cannot_pass_unread() -> None:
    decision = RuleTable((RULE,), pass_unmatched=True).decide("POST", canonical("/api/pay"))
    with pytest.raises(TypeError, match="cannot pass unread"):
        pass_request(Exchange(decision, a_message().head))
