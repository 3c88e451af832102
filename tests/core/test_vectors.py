"""The frozen vectors: what must open opens, and what must fail fails for its reason."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from proxy.core.crypto import derivation, token
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.secret import Kek, SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import KeyId
from proxy.core.errors import OpenFailed

VECTORS = Path(__file__).parent.parent / "vectors"
Vector = dict[str, Any]


@cache
def document() -> Vector:
    loaded: Vector = json.loads((VECTORS / "sy1.json").read_text())
    return loaded


MUST_OPEN: list[Vector] = document()["must_open"]
MUST_FAIL: list[tuple[Vector, Vector]] = [
    (vector, failure) for vector in MUST_OPEN for failure in vector["must_fail"]
]

each_success = pytest.mark.parametrize("vector", MUST_OPEN, ids=lambda one: one["name"])
each_failure = pytest.mark.parametrize(
    ("vector", "failure"),
    MUST_FAIL,
    ids=[f"{vector['name']}, {failure['name']}" for vector, failure in MUST_FAIL],
)


def context_of(parts: dict[str, str]) -> Context:
    scope = Scope(parts.get("tenant"), parts.get("conversation"))
    rest = {name: parts.get(name) for name in ("field", "message", "purpose", "kind")}
    return Context(scope, **rest)


def session_of(vector: Vector, sk: str | None = None) -> Session:
    return Session(
        SessionKey(bytes.fromhex(sk or vector["sk"])),
        sid=bytes.fromhex(vector["sid"]),
        scope=context_of(vector["context"]).scope,
        kek_id=vector["kek_id"],
        kek_number=vector["kek_number"],
    )


@each_success
def test_a_context_is_encoded_as_frozen(vector: Vector) -> None:
    context = context_of(vector["context"])
    assert vector["context_hex"] == context.encode().hex()
    assert vector["scope_hex"] == context.scope.encode().hex()


@pytest.mark.parametrize(
    "vector", [one for one in MUST_OPEN if one["kek"]], ids=lambda one: one["name"]
)
def test_a_durable_session_key_is_derived_as_frozen(vector: Vector) -> None:
    kek = Kek(bytes.fromhex(vector["kek"]))
    scope = context_of(vector["context"]).scope
    derived = derivation.session_key(kek, bytes.fromhex(vector["sid"]), scope)
    assert vector["sk"] == derived.reveal().hex()


@each_success
def test_a_frozen_token_is_read_as_it_was_made(vector: Vector) -> None:
    decoded = token.decode(vector["token"].encode())
    by_number = vector["form"] == "short"
    key_id = KeyId(
        bytes.fromhex(vector["sid"]),
        kek_id=None if by_number else vector["kek_id"],
        kek_number=vector["kek_number"] if by_number else None,
    )
    expected = (vector["form"], key_id, vector["cty"], vector["exp"], vector["iv"])
    assert expected == (decoded.form, decoded.key_id, decoded.cty, decoded.exp, decoded.iv.hex())


@each_success
def test_a_frozen_token_opens(vector: Vector) -> None:
    decoded = token.decode(vector["token"].encode())
    context = context_of(vector["context"])
    plaintext = session_of(vector).open(decoded, context, document()["now"])
    assert vector["plaintext_hex"] == plaintext.hex()


@each_success
def test_sealing_gives_the_frozen_token_when_the_iv_is_the_same(
    vector: Vector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.urandom", lambda size: bytes.fromhex(vector["iv"])[:size])
    sealed = session_of(vector).seal(
        bytes.fromhex(vector["plaintext_hex"]),
        context_of(vector["context"]),
        cty=vector["cty"],
        form=vector["form"],
        exp=vector["exp"],
    )
    assert vector["token"] == sealed.decode()
    assert vector["characters"] == len(sealed)


@each_failure
def test_a_frozen_failure_fails_for_its_reason(vector: Vector, failure: Vector) -> None:
    context = context_of(failure["context"] if "context" in failure else vector["context"])
    session = session_of(vector, failure.get("sk"))

    def open_it() -> bytes:
        return session.open(token.decode(failure["token"].encode()), context, document()["now"])

    with pytest.raises(OpenFailed) as caught:
        open_it()
    assert failure["reason"] == caught.value.reason


@each_success
def test_every_success_has_at_least_four_failures(vector: Vector) -> None:
    assert len(vector["must_fail"]) >= 4


def test_every_combination_of_bound_parts_is_frozen() -> None:
    assert len({frozenset(vector["context"]) for vector in MUST_OPEN}) == 2**6


def test_the_lengths_of_the_design_are_frozen() -> None:
    lengths = {vector["name"]: vector["characters"] for vector in MUST_OPEN}
    assert lengths["20 bytes"] == 203
    assert lengths["1 KiB"] == 1542
    assert lengths["20 bytes, short"] == 110
    assert lengths["1 KiB, short"] == 1448
    assert lengths["129 bytes fill 255 characters"] == 255
    assert lengths["59 bytes fill 255 characters"] == 255


def test_the_generator_refuses_to_overwrite_frozen_vectors() -> None:
    before = (VECTORS / "sy1.json").read_bytes()
    made = subprocess.run(  # noqa: S603 - our own generator, by our own interpreter
        [sys.executable, str(VECTORS / "make_sy1.py")], capture_output=True, text=True, check=False
    )
    assert made.returncode == 1
    assert "frozen" in made.stderr
    assert before == (VECTORS / "sy1.json").read_bytes()
