"""What passes a rule for forms in parts holds nothing selected for any reader, however lax."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.formparser import FormDataParser

from tools.fuzz import form_readers, targets

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "vectors" / "multipart.jsonl").read_text().splitlines()
]
BODIES = [row["body"].encode("latin-1") for row in ROWS]
TYPE = "multipart/form-data; boundary=X-1"
PIECES = [
    *(b"\r\n", b"\n", b"\r", b"--X-1", b"--X-1--", b"--", b'"', b"'", b";", b"\\", b" ", b"\0"),
    *(b"name=card", b'name="card"', b"filename=", b"Content-Disposition: form-data; ", b"card"),
    *(b"\r\n\r\n4111-CANARY", b"--Y\r\n", b"*=utf-8''", b"="),
    b"Content-Type: multipart/mixed; boundary=Y",
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_an_oddity_leaves_nothing_for_a_reader(row: dict[str, str]) -> None:
    targets.parts(b"\0" + row["body"].encode("latin-1"))
    targets.parts(b"\1" + row["body"].encode("latin-1"))


@pytest.mark.no_cover
@settings(max_examples=400)
@given(st.data())
def test_a_changed_form_leaves_nothing_for_a_reader(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(BODIES))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, min(len(body), start + 40)))
        body = body[:start] + data.draw(st.sampled_from([*PIECES, b""])) + body[end:]

    targets.parts(bytes((data.draw(st.integers(0, 1)),)) + body)


@pytest.mark.parametrize(
    "note", ["around/preamble-other-boundary", "head/bare-lf", "boundary/quotes-kept"]
)
def test_the_readers_are_as_lax_as_they_must_be(note: str) -> None:
    row = next(one for one in ROWS if one["id"] == note)
    read = form_readers.all_of(row["content_type"], row["body"].encode("latin-1"))

    assert any(form_readers.names(name, "card") and b"CANARY" in value for name, value in read)


def test_werkzeug_reads_what_passes_as_it_was_sealed() -> None:
    for row in ROWS:
        if row["expect"] == "sealed" and row["content_type"] == TYPE:
            body = row["body"].encode("latin-1")
            _, form, files = FormDataParser().parse(
                io.BytesIO(body), "multipart/form-data", len(body), {"boundary": "X-1"}
            )
            assert "card" in {*form, *files}, row["id"]
            for one in files.values():
                one.close()
