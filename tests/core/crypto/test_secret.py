from __future__ import annotations

import copy
import hmac
import json
import operator
import pickle
from typing import Any

import pytest

from proxy.core.crypto import secret
from proxy.core.crypto.secret import Kek, NameKey, RecordKey, Secret, SessionKey, StreamKey
from proxy.core.errors import KeyUnavailable

CANARY = b"CANARY-CANARY-CANARY-CANARY-32by"
KINDS = (Secret, Kek, SessionKey, StreamKey, NameKey, RecordKey)

each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_key_material_shows_in_no_text(kind: type[Secret]) -> None:
    key = kind(CANARY)
    texts = [repr(key), str(key), f"{key}", f"{key!r:>80}", f"{key:>80}", f"{[key]}"]
    texts += ["%s %r" % (key, key), "{}".format(key), ascii(key)]  # noqa: UP031, UP032 - each way
    assert all("CANARY" not in text for text in texts)
    assert all("hidden" in text for text in texts)


@each_kind
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_key_material_is_not_pickled(kind: type[Secret], protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        pickle.dumps(kind(CANARY), protocol)


@each_kind
@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy])
def test_key_material_is_not_copied(kind: type[Secret], copying: object) -> None:
    assert callable(copying)
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        copying(kind(CANARY))


@each_kind
def test_key_material_is_not_hashed(kind: type[Secret]) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(kind(CANARY))


@each_kind
def test_key_material_is_not_iterated_indexed_or_measured(kind: type[Secret]) -> None:
    key: Any = kind(CANARY)
    spreadings: tuple[Any, ...] = (bytes, list, len, json.dumps, operator.itemgetter(0))
    for spreading in spreadings:
        with pytest.raises(TypeError):
            spreading(key)
    assert not hasattr(key, "__dict__")


def test_equal_material_of_one_class_is_equal() -> None:
    assert Kek(CANARY) == Kek(bytes(CANARY))
    assert Kek(CANARY) != Kek(bytes(32))


def test_material_of_two_classes_is_never_equal() -> None:
    assert Kek(CANARY) != SessionKey(CANARY)
    assert Kek(CANARY) != CANARY


def test_material_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return True

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert Kek(CANARY) == Kek(bytes(32))
    assert compared == [(CANARY, bytes(32))]


@each_kind
@pytest.mark.parametrize(
    "material", [b"", bytes(31), bytes(33), bytearray(32), memoryview(bytes(32)), "x" * 32, None]
)
def test_only_32_bytes_are_key_material(kind: type[Secret], material: object) -> None:
    with pytest.raises(ValueError, match=f"exactly {secret.KEY_BYTES} bytes"):
        kind(material)  # type: ignore[arg-type]  # the wrong type is the point


def test_a_refusal_does_not_show_the_material() -> None:
    with pytest.raises(ValueError, match="exactly") as caught:
        Kek(CANARY + b"!")
    assert "CANARY" not in str(caught.value)


@each_kind
def test_only_reveal_gives_the_material(kind: type[Secret]) -> None:
    assert kind(CANARY).reveal() == CANARY


@each_kind
def test_what_was_given_up_is_gone_for_all_who_have_the_key(kind: type[Secret]) -> None:
    key, never = kind(CANARY), kind(CANARY)
    held = [key]
    assert key.give_up() == CANARY
    with pytest.raises(KeyUnavailable) as refused:
        held[0].reveal()
    assert (refused.value.reason, key.give_up()) == ("root-lease-ended", b"")
    assert key != never
    assert never.reveal() == CANARY
