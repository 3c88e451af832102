"""Filenames that no item selects: replaced, sealed, or left as they are."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import InvalidBody
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Filenames, Names, Rule
from tests.core.formats.multipart.test_reader import (
    CANARY,
    NAMES,
    a_body,
    a_part,
    an_item_of,
    applied,
    through,
)
from tests.factories import a_block, a_rule, with_block

FILE = "Content-Type: application/pdf"


def passing(filenames: Filenames) -> Rule:
    block = a_block(encrypt=[an_item_of("optional part:note")], plain=["part:scan"])
    return a_rule(request=replace(block, filenames=filenames, nothing="pass"), names=NAMES)


def disposition(filename: str, *, again: str | None = None, quote: str = '"') -> bytes:
    part = a_part("scan", b"x", FILE, filename=filename, quote=quote)
    if again is not None:
        part = part.replace(b"\r\n", f"; filename*=UTF-8''{again}\r\n".encode(), 1)
    return part


@pytest.mark.parametrize(
    ("filename", "becomes"),
    [
        ("CANARY.pdf", "file.pdf"),
        ("CANARY.tar.GZ", "file.gz"),
        ("CANARY", "file"),
        ("CANARY.canary", "file"),
        ("a.CANARY-1", "file"),
        ("ü CANARY.jpeg", "file.jpeg"),
        (r"C:\\CANARY\\a.txt", "file.txt"),
    ],
)
def test_a_filename_is_replaced_except_for_its_extension(filename: str, becomes: str) -> None:
    body = a_body(a_part("note", CANARY), disposition(filename))
    came = through(passing("replace"), body)
    assert b"CANARY" not in came
    assert came.endswith(a_body(disposition(becomes))[len(b"--of-parts") :])
    assert applied(passing("replace"), body).counts == {"sealed": 1}


def test_a_form_with_nothing_else_to_do_is_replaced_in() -> None:
    came = through(passing("replace"), a_body(disposition("CANARY.pdf"), disposition("b.txt")))
    assert came == a_body(disposition("file.pdf"), disposition("file.txt"))


def test_a_filename_that_stands_twice_is_replaced_twice() -> None:
    came = through(passing("replace"), a_body(disposition("CANARY.pdf", again="CANARY.pdf")))
    assert came == a_body(disposition("file.pdf", again="file.pdf"))


def test_a_filename_without_quotes_keeps_none() -> None:
    came = through(passing("replace"), a_body(disposition("CANARY.pdf", quote="")))
    assert came == a_body(disposition("file.pdf", quote=""))


def test_an_empty_filename_stays() -> None:
    body = a_body(disposition(""))
    assert through(passing("replace"), body) == body


def test_filenames_are_sealed_as_a_field_of_their_own() -> None:
    names = Names(tenant=NAMES.tenant, conversation=parse_source("const:c1"))
    sealed = through(
        replace(passing("seal"), names=names), a_body(disposition("CANARY.pdf", again="CANARY.pdf"))
    )
    assert b"CANARY" not in sealed
    assert len(re.findall(rb"filename\*?=(?:\"|UTF-8'')eyJ", sealed)) == 2
    reading = a_block(decrypt=[replace(an_item_of("filename:scan"), field="filename")])
    opened = through(a_rule(request=reading, names=names), sealed)
    assert opened == a_body(disposition("CANARY.pdf", again="CANARY.pdf"))


@pytest.mark.parametrize("filenames", ["replace", "seal"])
def test_a_selected_filename_is_sealed_as_it_says(filenames: Filenames) -> None:
    made = with_block(passing(filenames), encrypt=(an_item_of("filename:scan"),))
    came = through(made, a_body(disposition("CANARY.pdf")))
    assert re.search(rb'filename="eyJ', came)
    reading = a_block(decrypt=[an_item_of("filename:scan")])
    assert b'filename="CANARY.pdf"' in through(a_rule(request=reading, names=NAMES), came)


def test_plain_filenames_pass() -> None:
    body = a_body(disposition("CANARY.pdf"))
    assert through(passing("plain"), body) == body


@pytest.mark.parametrize("name", ["=?UTF-8?Q?n=6Fte?=", "=?", "note =?utf-8?b?eA==?="])
def test_an_encoded_word_is_no_name(name: str) -> None:
    """Tomcat decodes it (RFC 2047)."""
    for made in (passing("replace"), with_block(passing("plain"), others="pass")):
        assert RuleTable((made,), pass_unmatched=True)
        with pytest.raises(InvalidBody, match="part-name-encoded"):
            through(made, a_body(a_part(name, CANARY)))
