from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import KeyringError
from proxy.keys.keyring import jwk_set

from ..builders import a_keyring

Members = dict[str, Any]
CANARY = "c2VjcmV0LWNhbmFyeS1zZWNyZXQtY2FuYXJ5LXNlY3I"


def edited(edit: Callable[[Members], object]) -> bytes:
    members: Members = json.loads(jwk_set.encode(a_keyring("k2").disable("k2")))
    edit(members)
    return json.dumps(members).encode()


def test_what_is_written_is_read_back() -> None:
    keyring = a_keyring("k2", "k3", "k4").promote("k2").disable("k1").disable("k3").remove("k3")
    assert jwk_set.decode(jwk_set.encode(keyring)) == keyring
    keyring = replace(keyring.revoke("A" * 22, 7), pruned=5)
    assert jwk_set.decode(jwk_set.encode(keyring)) == keyring


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.pop("sealyard"),
        lambda s: s.update(sealyard=2),
        lambda s: s.update(sealyard=0),
        lambda s: s.update(sealyard=True),
        lambda s: s.update(sealyard={}),
        lambda s: s.update(more=1),
        lambda s: s.update(keys={}),
        lambda s: s.update(keys=[1]),
        lambda s: s.pop("generation"),
        lambda s: s.update(generation=-1),
        lambda s: s.update(generation="2"),
        lambda s: s.update(revocations=[]),
        lambda s: s.update(revocations={"A" * 22: "7"}),
        lambda s: s.update(revocations={"A" * 21: 7}),
        lambda s: s.update(pruned=-1),
        lambda s: s.update(pruned="7"),
        lambda s: s.update(retired={}),
        lambda s: s.update(retired=[9, 9]),
        lambda s: s.update(retired=[1]),
        lambda s: s.update(retired=[True]),
        lambda s: s["keys"].pop(0),
        lambda s: s["keys"].append(s["keys"][0]),
        lambda s: s["keys"].append(s["keys"][3]),
        lambda s: s["keys"][0].update(kid="other"),
        lambda s: s["keys"][0].update(state="primary"),
        lambda s: s["keys"][3].pop("state"),
        lambda s: s["keys"][3].update(alg="A256KW"),
        lambda s: s["keys"][3].update(kty="RSA"),
        lambda s: s["keys"][3].update(use="enc"),
        lambda s: s["keys"][3].update(k=CANARY + "="),
        lambda s: s["keys"][3].update(k=CANARY[:-1] + "J"),
        lambda s: s["keys"][3].update(k=CANARY[:-3]),
        lambda s: s["keys"][3].update(k=7),
        lambda s: s["keys"][3].update(k="ä" * 43),
        lambda s: s["keys"][3].update(kid=7),
        lambda s: s["keys"][3].update(kid="k 1"),
        lambda s: s["keys"][3].update(number=0),
        lambda s: s["keys"][3].update(number=1.0),
        lambda s: s["keys"][3].update(created=-1),
        lambda s: s["keys"][3].update(state="decrypt"),
        lambda s: s["keys"][3].update(state="other"),
    ],
)
def test_any_other_form_is_refused_without_a_key_in_the_message(
    edit: Callable[[Members], object],
) -> None:
    with pytest.raises(KeyringError) as refused:
        jwk_set.decode(edited(edit))
    assert CANARY[:20] not in str(refused.value)
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{", b"\xff", b'{"a":1,"a":1}', b'{"a":NaN}', b'{"a":1.5}', b"[" * 100_000],
)
def test_what_is_not_strict_json_is_refused(text: bytes) -> None:
    with pytest.raises(KeyringError):
        jwk_set.decode(text)


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_keyring_errors(text: bytes) -> None:
    with pytest.raises(KeyringError):
        jwk_set.decode(text)
