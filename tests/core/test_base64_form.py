"""The base64 form: valid base64 to a backend, and the exact bytes wherever it serves them."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.compiled.block import CompiledBlock
from proxy.core.crypto import sealed_stream, token
from proxy.core.crypto.context import Context
from proxy.core.errors import (
    ForbiddenValue,
    InvalidExpression,
    OpenFailed,
    UnfitValue,
    ValueTooLong,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import ResponseHead
from proxy.core.rules.model import Names, Rule, Verdict
from tests.core.test_vectors import context_of, session_of
from tests.factories import (
    SCOPE,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    replied,
    reply,
    sent,
    with_block,
)

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "base64.json").read_text()
)
NAMES = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c1"))
PLACE = "$._attachments.*.data"
PNG = ((b"Content-Type", b"image/png"), (b"ETag", b'"x"'))
ITEM = an_item(PLACE, form="base64")
each_vector = pytest.mark.parametrize("vector", VECTORS["must_open"], ids=lambda one: one["name"])


def rule(**changes: object) -> Rule:
    opening = an_item(PLACE)
    blocks = (
        replace(a_block(decrypt=[an_item("body", field="data")]), types=("image/*",)),
        a_block(decrypt=[opening]),
    )
    made = a_rule(request=a_block(encrypt=[ITEM]), response=blocks, names=NAMES)
    return with_block(made, **changes) if changes else made


def document(data: object) -> str:
    return json.dumps({"_attachments": {"scan.png": {"content_type": "image/png", "data": data}}})


def data_of(body: bytes) -> Any:  # noqa: ANN401 - whatever is there
    return json.loads(body)["_attachments"]["scan.png"]["data"]


def opened(body: bytes | str, head: ResponseHead | None = None, made: Rule | None = None) -> bytes:
    return replied(replace(made or rule(), request=Verdict.PASS), body, head)


@pytest.mark.no_cover
@given(st.binary(max_size=200))
@example(b"")
@example(token.BASE64_MARK)
@example(b"sy1." + b"A" * 80)
def test_the_exact_bytes_come_back_as_text_and_as_what_a_backend_decodes(content: bytes) -> None:
    body = document(b64encode(content).decode())
    sealed = sent(rule(), a_message(body))
    text = data_of(sealed)
    assert text.startswith("iVNZMUI2NA0K")
    stored = b64decode(text, validate=True)
    assert b64encode(stored).decode() == text
    head = token.decode_bytes(stored).head
    assert len(content) < 8 or content not in stored[len(head) :]
    assert opened(sealed) == body.encode()
    assert opened(stored, a_response(headers=PNG)) == content


def test_the_type_that_the_backend_serves_stays() -> None:
    sealed = sent(rule(), a_message(document(b64encode(b"scan").decode())))
    made = replace(rule(), request=Verdict.PASS)
    served = reply(made, b64decode(data_of(sealed)), a_response(headers=PNG)).forwardable
    types = [value for name, value in served.head.headers if name.lower() == b"content-type"]
    assert types == [b"image/png"]


@pytest.mark.parametrize(
    "data",
    [
        "aGVsbG8",
        "aGVsbG9=",
        "aGVs\nbG8=",
        "aGV_",
        " aGVsbG8=",
        "aGVsbG8=\n",
        "é",
        "====",
        7,
        [],
        {},
    ],
)
def test_what_would_not_come_back_as_it_was_is_refused(data: object) -> None:
    with pytest.raises(UnfitValue) as caught:
        sent(rule(), a_message(document(data)))
    assert caught.value.reason == "not-base64"


def test_a_value_that_looks_sealed_is_sealed_kept_or_refused() -> None:
    body = document(b64encode(b"scan").decode())
    sealed = sent(rule(), a_message(body))
    twice = sent(rule(), a_message(sealed))
    assert opened(twice) == sealed
    assert sent(rule(already_sealed="keep"), a_message(sealed)) == sealed
    with pytest.raises(ForbiddenValue):
        sent(rule(already_sealed="reject"), a_message(sealed))


def test_a_token_that_is_cut_changed_or_of_another_context_does_not_open() -> None:
    sealed = sent(rule(), a_message(document(b64encode(b"scan").decode())))
    stored = b64decode(data_of(sealed))
    other = replace(rule(), names=replace(NAMES, conversation=parse_source("const:c2")))
    head = a_response(headers=PNG)
    for broken in (stored[:-1], stored[:40], stored[:9], stored + b"\0", b"\x89PNG\r\n", b"text"):
        with pytest.raises(OpenFailed):
            opened(broken, head)
    with pytest.raises(OpenFailed):
        opened(stored, head, other)
    with pytest.raises(OpenFailed):
        opened(document(data_of(sealed)[:-4]))


def test_each_form_opens_as_itself_alone() -> None:
    session, context = a_session(), Context(SCOPE, field="data")
    in_jwe = token.decode(session.seal(b"aGVsbG8=", context))
    header = session.seal(b"", context).partition(b".")[0]
    respelled = token.base64_head(header) + in_jwe.iv + in_jwe.sealed
    with pytest.raises(OpenFailed):
        session.open(token.decode_bytes(respelled), context, 1)
    in_base64 = token.decode(session.seal(b"hello", context, form="base64"))
    as_jwe = replace(in_base64, form="jwe", head=header)
    with pytest.raises(OpenFailed):
        session.open(as_jwe, context, 1)


def test_a_value_above_its_characters_is_refused_with_what_would_fit() -> None:
    session, context = a_session(), Context(SCOPE, field="data")
    room = len(session.seal(b"x" * 30, context, form="base64"))
    for size in range(28, 34):
        text = len(session.seal(b"x" * size, context, form="base64"))
        header = session.seal(b"", context).partition(b".")[0]
        assert token.base64_length(header, size) == text
        if size <= token.base64_capacity(header, room):
            assert text <= room
        else:
            with pytest.raises(ValueTooLong):
                session.seal(b"x" * size, context, form="base64", max_chars=room)


def test_what_a_backend_holds_is_read_as_text_and_as_bytes() -> None:
    text = a_session().seal(b"x", Context(SCOPE, field="data"), form="base64")
    assert token.decode_stored(text) == token.decode_stored(b64decode(text))


def test_it_may_end() -> None:
    session, context = a_session(), Context(SCOPE, field="data")
    sealed = token.decode(session.seal(b"x", context, form="base64", exp=1_000))
    assert session.open(sealed, context, 900) == b"x"
    with pytest.raises(OpenFailed):
        session.open(sealed, context, 10_000)


def test_it_has_no_type_and_begins_no_stream() -> None:
    session, context = a_session(), Context(SCOPE, field="data")
    header = session.seal(b"{}", context, cty="json").partition(b".")[0]
    with pytest.raises(OpenFailed):
        token.decode_bytes(token.base64_head(header) + bytes(28))
    with pytest.raises(OpenFailed):
        token.decode_bytes(b"text")
    named = session.seal(bytes(32), context, form="base64")
    with pytest.raises(OpenFailed):
        sealed_stream.read_head(b"SYST\x01" + len(named).to_bytes(2) + named)


@pytest.mark.parametrize("selector", ["form:data", "part:data", "body", "text", "header:x-data"])
def test_it_is_for_strings_of_json(selector: str) -> None:
    item = an_item(selector, field="data", form="base64")
    with pytest.raises(InvalidExpression):
        CompiledBlock(a_block(encrypt=[item]), NAMES, "request")


def test_it_is_sealed_in_texts_too() -> None:
    item = an_item("$.p json:$.data", form="base64")
    made = a_rule(request=a_block(encrypt=[item]), response=a_block(decrypt=[item]), names=NAMES)
    body = json.dumps({"p": json.dumps({"data": b64encode(b"\xff\xfe?").decode()})})
    sealed = sent(made, a_message(body))
    assert json.loads(json.loads(sealed)["p"])["data"].startswith("iVNZMUI2NA0K")
    assert opened(sealed, made=made) == body.encode()


@each_vector
def test_a_frozen_token_opens_and_is_made_so(
    vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, context = session_of(vector), context_of(vector["context"])
    decoded = token.decode(vector["token"].encode())
    assert session.open(decoded, context, VECTORS["now"]).hex() == vector["plaintext_hex"]
    assert token.decode_bytes(b64decode(vector["token"])) == decoded
    monkeypatch.setattr("os.urandom", lambda size: bytes.fromhex(vector["iv"])[:size])
    plaintext = bytes.fromhex(vector["plaintext_hex"])
    assert session.seal(plaintext, context, form="base64").decode() == vector["token"]


@each_vector
def test_a_frozen_failure_fails_for_its_reason(vector: dict[str, Any]) -> None:
    for failure in vector["must_fail"]:
        context = context_of(failure.get("context", vector["context"]))
        found = token.decoded_token(failure["token"].encode())
        if isinstance(found, token.Token):
            with pytest.raises(OpenFailed) as caught:
                session_of(vector).open(found, context, VECTORS["now"])
            found = caught.value
        assert found.reason == failure["reason"], failure["name"]
