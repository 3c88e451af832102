"""Targets that hold the native leaves to Python's: one function at a time, and whole messages."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

from proxy.core.errors import MessageError
from proxy.core.expressions.selectors import Any as Every
from proxy.core.expressions.selectors import JsonSelector, Step
from proxy.core.formats.json import Selection
from proxy.core.leaves.closed import Closed, ClosedPlace
from proxy.core.leaves.finder import Finder, Found, PlainPath

from . import seeds

NATIVE: Final = importlib.util.find_spec("sealyard_native") is not None
_SWITCH: Final = "SEALYARD_NATIVE"


def _broken(law: str) -> NoReturn:
    raise AssertionError(law)


def _outcome(function: Callable[..., object], *arguments: object) -> object:
    """Return the result, or the error meant for it; all else, a panic above all, is a break."""
    try:
        return function(*arguments)
    except (OverflowError, ValueError) as error:
        return type(error)
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            _broken(f"{function.__name__} panicked")
        raise


# --- One function at a time ----------------------------------------------------------------------

Arguments = tuple[object, ...]
_CUTS: Final = 4
_FEW: Final = 4


def _one(_: bytes, data: bytes) -> Arguments:
    return (data,)


def _three(cuts: bytes, data: bytes) -> Arguments:
    """Return a head, an IV that nearly always has its size, and the rest."""
    start = cuts[0] % (len(data) + 1)
    end = start + (cuts[1] % 16 if cuts[2] % 8 == 0 else 12)
    return data[:start], data[start:end], data[end:]


def _masking(cuts: bytes, data: bytes) -> Arguments:
    """Return data, and a mask that nearly always has its size."""
    size = cuts[0] if cuts[1] % 16 == 0 else 4
    return data[size:], data[:size]


def _piece(cuts: bytes, data: bytes) -> Arguments:
    """Return a text, and the two ends of a piece of it."""
    return data, cuts[0] % 4 * cuts[1] - (cuts[0] == 1), cuts[2] * cuts[3]


def _part(cuts: bytes, data: bytes) -> Arguments:
    """Return a text, and the two ends of a part of it, of which none is negative."""
    return data, cuts[0] % 4 * cuts[1], cuts[2] * cuts[3]


def _spans(cuts: bytes, data: bytes) -> Arguments:
    """Return a body, up to three spans that are often in order, and a text for nearly each."""
    body = data[: cuts[3]]
    places = [one % (len(body) + 2) for one in data[:6]][: cuts[0] % 4 * 2]
    if cuts[1] % 4:
        places.sort()
    texts = [data[at : at + cuts[2]] for at in range(len(places) // 2 + (cuts[1] % 16 == 1))]
    return body, places, texts


def _strings(cuts: bytes, data: bytes) -> Arguments:
    """Return a body, and spans between its quotes."""
    quotes = [at for at, one in enumerate(data) if one == ord('"')]
    places = [at + (index % 2) for index, at in enumerate(quotes)][: len(quotes) // 2 * 2]
    return data, places[: 2 * (cuts[0] % 8)]


def _put_tokens(cuts: bytes, data: bytes) -> Arguments:
    """Return a body, spans of it, and what makes as many tokens, or nearly."""
    body, places, texts = _spans(cuts, data)
    assert isinstance(texts, list)  # noqa: S101 - as it was made
    ivs = (data * 40)[: 12 * len(texts) + (cuts[1] < _FEW)]
    sealed = [bytes(16)[cuts[2] < _FEW :] + one for one in texts]
    return body, places, [data[:20]] * len(sealed), ivs, sealed


CASES: Final[dict[str, Callable[[bytes, bytes], Arguments]]] = {
    "candidates": _piece,
    "decode": _one,
    "encode": _one,
    "fields": _part,
    "masking": _masking,
    "put_texts": _spans,
    "put_tokens": _put_tokens,
    "quote": _one,
    "splice": _spans,
    "texts_at": _strings,
    "token_parts": _one,
    "token_text": _three,
    "tokens_at": _strings,
    "unquote": _one,
}
"""Arguments for each function of `sealyard_native`, made of bytes that choose and of a text."""


@cache
def pairs() -> tuple[tuple[str, Any, Any], ...]:
    """Return each leaf that is native: its name, and both functions."""
    native = importlib.import_module("sealyard_native")
    files = sorted((Path(__file__).parents[2] / "proxy" / "core" / "leaves").glob("[a-z]*.py"))
    python = [importlib.import_module(f"proxy.core.leaves.{one.stem}") for one in files]
    return tuple(
        (
            name,
            getattr(native, name),
            next(getattr(one, name) for one in python if name in vars(one)),
        )
        for name in CASES
        if name in vars(native)
    )


_PATHS: Final = (
    ((),),
    (("a",), ("content",)),
    (("content",), ("list", None, "text"), ("id",)),
    (("a", None, "b"), ("a", None, None, "c"), ("b", "a")),
    ((None, "a"), (None, None)),
    (("a", "b", "a", "b"), ("a", "b", "c"), ("a",)),
)

_SCALAR: Final[ClosedPlace] = (False, True, {}, {}, None, None)
_WHOLE: Final[ClosedPlace] = (True, True, {}, {}, None, None)
_LISTED: Final[tuple[ClosedPlace, ...]] = (
    (False, False, {"a": _SCALAR, "content": _WHOLE}, {}, None, None),
    (False, False, {"text": _WHOLE}, {0: _SCALAR}, _SCALAR, _SCALAR),
)


def finder(data: bytes) -> None:
    """What either form of the Finder finds is what the walk finds; so with what is `Closed`."""
    if not data:
        return
    paths, body = _PATHS[data[0] % len(_PATHS)], data[1:]
    native = importlib.import_module("sealyard_native").Finder(paths, lambda: None).find(body)
    python = Finder(paths, lambda: None).find(body)
    for found in (native, python):
        if found is not None and found != walked(paths, body):
            _broken("a Finder finds other values than the walk")
    place = _LISTED[data[0] % len(_LISTED)]
    clear = importlib.import_module("sealyard_native").Closed(place).is_clear(body)
    if clear and not Closed(place).is_clear(body):
        _broken("a text is clear to native code alone")


def walked(paths: tuple[PlainPath, ...], body: bytes) -> Found | None:
    """Return what the walk finds; None where it refuses, or reports anything."""
    selectors = tuple(
        JsonSelector("", tuple(Step(Every.MEMBER if one is None else one) for one in path))
        for path in paths
    )
    try:
        findings = Selection(selectors).walk(body)
    except MessageError:
        return None
    if findings.variants or findings.hidden or findings.twins:
        return None
    flat = [
        [place for one in values for place in (one.start, one.end, *_indexes(one.path))]
        for values in findings.found
    ]
    return sum(1 << at for at in findings.missing), flat


def _indexes(path: tuple[str | int, ...]) -> list[int]:
    return [one for one in path if isinstance(one, int)]


def finder_seeds() -> list[bytes]:
    """Return JSON texts behind the number of a set of paths."""
    return [bytes((paths,)) + one for one in seeds.documents() for paths in range(len(_PATHS))]


def leaves(data: bytes) -> None:
    """Each native leaf returns what Python's does, or raises the same."""
    if len(data) < _CUTS:
        return
    cuts, text = data[:_CUTS], data[_CUTS:]
    for name, native, python in pairs():
        arguments = CASES[name](cuts, text)
        if _outcome(native, *arguments) != _outcome(python, *arguments):
            _broken(f"{name} has two results")


def leaf_seeds() -> list[bytes]:
    """Return texts of every kind that a leaf reads."""
    texts = [*seeds.documents(), *seeds.tokens(), *seeds.bodies_with_tokens()]
    return [bytes((0, 3, 1, 40)) + one for one in texts]


# --- Whole messages ------------------------------------------------------------------------------


def messages(data: bytes) -> None:
    """A message has the same bytes, outcomes and refusals with the native leaves and without."""
    if not data:
        return
    forms = [loaded("native"), loaded("python")]
    rule, body = forms[0].RULES[data[0] % len(forms[0].RULES)], data[1:]
    found = []
    for whole in forms:
        with _same_nonces():
            found.append(whole.outcomes(rule, body))
    if found[0] != found[1]:
        _broken("the two forms treat a message differently")


def message_seeds() -> list[bytes]:
    """Return messages behind the number of a rule."""
    bodies = [b'{"text":"hello","list":[{"text":"a"},{"text":null}],"content":1.50}']
    bodies += [*seeds.documents(), *seeds.bodies_with_tokens()]
    bodies += [b'{"text":"{\\"note\\":\\"a\\"}","content":"c2Nhbg=="}', b'{"content":"////"}']
    rules = len(loaded("python").RULES)
    return [bytes((rule,)) + one for one in bodies for rule in range(rules)]


@contextmanager
def _same_nonces() -> Iterator[None]:
    """Let both forms draw the same random bytes, which nothing but a fuzzer may."""
    drawn = count()
    real, os.urandom = os.urandom, lambda size: next(drawn).to_bytes(size)
    try:
        yield
    finally:
        os.urandom = real


@cache
def loaded(form: str) -> ModuleType:
    """Return `tools.fuzz.whole` on a Sealyard of this form, beside the one imported."""
    others = {name: sys.modules.pop(name) for name in _of_sealyard()}
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "0" if form == "python" else "1"
    try:
        spec = importlib.util.spec_from_file_location(
            f"tools.fuzz.whole_{form}", Path(__file__).with_name("whole.py")
        )
        assert spec is not None  # noqa: S101 - for types: the file stands beside this one
        assert spec.loader is not None  # noqa: S101 - as above
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        for name in _of_sealyard():
            del sys.modules[name]
        sys.modules.update(others)
        os.environ.pop(_SWITCH)
        if before is not None:
            os.environ[_SWITCH] = before
    if form != module.FORM:
        _broken(f"this is the {module.FORM} form, not the {form} one")
    return module


def _of_sealyard() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "proxy"]
