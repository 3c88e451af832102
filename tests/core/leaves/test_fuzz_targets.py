"""The fuzz targets compare every native leaf, and see a difference."""

from __future__ import annotations

import pytest

from proxy.core.leaves.closed import Closed
from proxy.core.leaves.finder import Finder
from tools.fuzz import forms, sanitized, seeds

native = pytest.importorskip(
    "sealyard_native", reason="the native leaves are not built: `./dev native` builds them"
)


def test_every_native_leaf_is_compared() -> None:
    functions = {one for one in vars(native) if callable(getattr(native, one)) and one[0] != "_"}

    assert functions - {"Closed", "Finder"} == {name for name, _, _ in forms.pairs()}


def test_every_target_under_the_sanitizer_has_seeds() -> None:
    assert all(seeds.native(name) for name in sanitized.targets())


def test_a_text_that_is_clear_to_native_code_alone_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Closed, "is_clear", lambda *_: False)

    with pytest.raises(AssertionError, match="clear to native code alone"):
        forms.finder(bytes((0,)) + b'{"a":1}')


def test_a_finder_that_finds_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in forms.finder_seeds()[::20]:
        forms.finder(seed)
    monkeypatch.setattr(Finder, "find", lambda *_: (0, []))

    with pytest.raises(AssertionError, match="finds other values than the walk"):
        forms.finder(b"\x00{}")


@pytest.mark.parametrize("name", [name for name, _, _ in forms.pairs()])
def test_a_leaf_with_two_results_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> bytes:
        return b"of no use"

    [pair] = [one for one in forms.pairs() if one[0] == name]
    monkeypatch.setattr(forms, "pairs", lambda: ((name, wrong, pair[2]),))

    with pytest.raises(AssertionError, match=f"{name} has two results"):
        forms.leaves(bytes(20))


def test_a_panic_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    def panics(_: bytes) -> bytes:
        raise PanicException

    monkeypatch.setattr(forms, "pairs", lambda: (("encode", panics, bytes),))

    with pytest.raises(AssertionError, match="panicked"):
        forms.leaves(bytes(20))


def test_both_forms_treat_the_seeds_alike() -> None:
    for seed in forms.message_seeds()[::40]:
        forms.messages(seed)


def test_a_message_that_is_treated_differently_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    python = forms.loaded("python")
    assert (python.FORM, forms.loaded("native").FORM) == ("python", "native")
    monkeypatch.setattr(python, "outcomes", lambda *_: [None])

    with pytest.raises(AssertionError, match="treat a message differently"):
        forms.messages(b"\x00{}")
