from __future__ import annotations

import csv
import io
import json
import time
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import MigrationFailed
from proxy.migration.policy import RECORD_BYTES
from proxy.migration.sources.pipe import PipeSource
from proxy.migration.sources.records import CopyText, Csv, JsonLines, Records
from proxy.migration.values.cells import ABSENT, NOT_TEXT
from tests.migration.builders import a_table

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)


def records(form: Records, data: bytes) -> list[bytes]:
    return list(form.read(io.BytesIO(data)))


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5), st.sampled_from(["\r\n", "\n"]))
def test_csv_reads_what_the_module_csv_writes(rows: list[tuple[str, str]], end: str) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    form = Csv()
    found = records(form, out.getvalue().encode())

    assert [form.cells(one, (0, 1)) for one in found] == [[a.encode(), b.encode()] for a, b in rows]
    assert b"".join(found) == out.getvalue().encode()


@given(TEXTS, TEXTS, TEXTS, st.sampled_from(["csv", "copy", "ndjson"]))
def test_a_cell_that_is_replaced_reads_as_its_new_text(a: str, b: str, new: str, form: str) -> None:
    if form == "csv":
        out = io.StringIO()
        csv.writer(out).writerow([a, b])
        form_of: Records = Csv()
        record, text = out.getvalue().encode(), new.encode()
    elif form == "ndjson":
        form_of = JsonLines(("a", "b"))
        record, text = (json.dumps({"b": b, "a": a}) + "\n").encode(), json.dumps(new).encode()
    else:
        form_of = CopyText()
        record, text = b"x\ty\n", new.encode()
    before = form_of.cells(record, (0, 1))
    after = form_of.replaced(record, (0, 1), (text, None))

    assert records(form_of, after) == [after]
    assert form_of.cells(after, (0, 1)) == [text, before[1]]


@given(TEXTS)
def test_a_cell_of_csv_keeps_its_quotes(text: str) -> None:
    quoted = b'"' + text.replace('"', '""').encode() + b'"'
    form = Csv()
    record = b"1," + quoted + b",2\r\n"
    sealed = form.replaced(record, (1,), (b"token",))

    assert sealed == b'1,"token",2\r\n'
    assert form.replaced(sealed, (1,), (text.encode(),)) == record


def test_a_cell_of_many_lines_takes_no_longer_than_its_bytes() -> None:
    record = b'1,"' + b"a line\n" * 80_000 + b'"\n'
    start = time.process_time()
    (found,) = records(Csv(), record)
    assert time.process_time() - start < 1

    assert found == record


def test_a_cell_of_many_lines_is_as_long_as_a_record_may_be() -> None:
    line = b"a" * ((1 << 20) - 1) + b"\n"

    assert records(Csv(), b'"' + line * 15 + b'"\n') == [b'"' + line * 15 + b'"\n']
    with pytest.raises(MigrationFailed, match="quote-not-closed"):
        records(Csv(), b'"' + line * 16 + b'"\n')


def test_an_unquoted_cell_stays_unquoted() -> None:
    form = Csv()
    assert form.replaced(b"1,abc,2", (1,), (b"token",)) == b"1,token,2"
    assert form.replaced(b"1,token,2", (1,), (b'a"b,c',)) == b'1,"a""b,c",2'


def test_no_value_is_told_from_an_empty_one() -> None:
    assert Csv().cells(b'1,,""\n', (1, 2)) == [None, b""]
    assert CopyText().cells(b"1\t\\N\t\n", (1, 2)) == [None, b""]
    assert JsonLines(("a", "b", "c")).cells(b'{"a":null,"b":""}\n', (0, 1, 2)) == [
        None,
        b'""',
        ABSENT,
    ]
    assert JsonLines(("a",)).cells(b"\n", (0,)) == [ABSENT]


@given(TEXTS)
def test_copy_reads_what_postgresql_writes(text: str) -> None:
    spelled = text
    for char, escaped in (
        ("\\", "\\\\"), ("\b", "\\b"), ("\f", "\\f"), ("\n", "\\n"),
        ("\r", "\\r"), ("\t", "\\t"), ("\v", "\\v"),
    ):  # fmt: skip
        spelled = spelled.replace(char, escaped)
    record = f"1\t{spelled}\n".encode()
    form = CopyText()

    assert form.cells(record, (1,)) == [text.encode()]
    assert form.replaced(record, (1,), (text.encode(),)) == record


def test_copy_reads_every_escape_and_its_end() -> None:
    assert CopyText().cells(rb"\x41\102\q\\" + b"\n", (0,)) == [b"ABq\\"]
    assert CopyText().cells(rb"\8\9\08\x" + b"\n", (0,)) == [b"89\x008x"]
    assert CopyText().cells(rb"\xff" + b"\n", (0,)) == [NOT_TEXT]
    assert CopyText().cells(b"\\.\n", (0, 5)) == [None, None]


def pipe(form: str, data: bytes, output: BinaryIO | None = None) -> PipeSource:
    header = ("org", "thread", "content") if form == "copy" else ()
    return PipeSource(form, a_table(header=header), io.BytesIO(data), output)  # type: ignore[arg-type] # a form


@pytest.mark.parametrize(
    ("form", "data", "reason"),
    [
        ("csv", b"org,thread\n", "no-such-column: content"),
        ("csv", b"org,thread,content,content\n", "column-twice: content"),
        ("csv", b"org,org,thread,content\n", "column-twice: org"),
        ("csv", b"org,thread,content\n1,2\n", "record 1: too-few-cells"),
        ("csv", b"org,thread,content\n1,2,3\n1,2,Dear Ada, yes\n", "record 2: too-many-cells"),
        ("csv", b'org,thread,content\n1,2,"3",\n', "record 1: too-many-cells"),
        ("csv", b'org,thread,content\n1,2,"a"b\n', "record 1: not-csv"),
        ("csv", b'org,thread,content\n1,2,"a\n', "quote-not-closed"),
        ("csv", b"org,thread,content\n1,2,a\rb\n", "record 1: not-csv"),
        ("csv", b"org,thread,content\n1,2,a\r\r\n", "record 1: not-csv"),
        ("csv", b"org,thread,content\n1,2,a\r", "record 1: not-csv"),
        ("csv", b'org,thread,content\n1,"2",a\r', "record 1: not-csv"),
        ("csv", b"content,thread,org\rhello,2,1\rhello,2,1\r", "not-csv"),
        ("copy", b"1\t2\n", "record 1: too-few-cells"),
        ("copy", b"1\t2\t3\t4\n", "record 1: too-many-cells"),
        ("copy", b"x" * (RECORD_BYTES + 1), "record-too-long"),
        ("ndjson", b'{"org":"a"}\n{"org":}\n', "record 2: not-json"),
        ("ndjson", b'{"content":1,"content":2}\n', "record 1: duplicate-member"),
        ("ndjson", b' {}\n[{"content":"x"}]\n', "record 2: not-an-object"),
        ("ndjson", b'"content"\n', "record 1: not-an-object"),
        ("ndjson", b"null\n", "record 1: not-an-object"),
    ],
)
def test_a_malformed_stream_ends_the_run(form: str, data: bytes, reason: str) -> None:
    with pytest.raises(MigrationFailed) as failed:
        pipe(form, data).page(None, None)

    assert failed.value.reason == reason


def test_a_header_that_is_no_csv_does_not_come_out() -> None:
    out = io.BytesIO()
    with pytest.raises(MigrationFailed):
        pipe("csv", b"content,thread,org\rhello,2,1\r", out).page(None, None)

    assert out.getvalue() == b""


def test_an_empty_stream_has_no_rows() -> None:
    for form in ("csv", "copy", "ndjson"):
        assert pipe(form, b"").page(None, None) == []


def test_a_stream_comes_out_whole_with_its_header() -> None:
    out = io.BytesIO()
    source = pipe("csv", b"org,thread,content\r\na,b,c\r\nd,e,f", out)
    (first, _) = source.page(None, None)
    assert source.write([(first, (b"NEW",))]) == [(1,)]
    assert source.page(None, None) == []

    assert out.getvalue() == b"org,thread,content\r\na,b,NEW\r\nd,e,f"


def test_names_of_ndjson_are_strings_and_whole_numbers() -> None:
    lines = (b'"a"', b"17", b"1.5", b"true", b"[1]", rb'"\u0061"')
    data = b"".join(b'{"org":%s,"thread":"t","content":"x"}\n' % one for one in lines)

    rows = pipe("ndjson", data).page(None, None)

    assert [row.names[0] for row in rows] == ["a", "17", None, None, None, "a"]
