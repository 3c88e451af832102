"""Documents drawn from the declarations of a file's sections, to try its schema and its reader.

In one that has each section, the value of one key is replaced by one of its kind, or by one that
nearly is.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from proxy.config.declared.addresses import SecretSource
from proxy.config.declared.composed import (
    ByName,
    ByShape,
    ListOf,
    Named,
    OneOrMore,
    WithPlace,
    Words,
)
from proxy.config.declared.kinds import (
    BYTES,
    MILLISECONDS,
    Choice,
    Duration,
    Kind,
    PlainText,
    Portion,
    Size,
    Switch,
    Version,
    WholeNumber,
)
from proxy.config.declared.section import LazySection, Section


@dataclass(frozen=True, slots=True)
class Site:
    """A key of a section in the document: the path of its mapping, and how its value is read."""

    path: tuple[str | int, ...]
    name: str
    kind: Kind


def sites(kind: Kind, value: object, path: tuple[str | int, ...] = ()) -> Iterator[Site]:
    """Yield the keys of all sections that the document has, whether it gives them or not."""
    if isinstance(kind, Section) and isinstance(value, Mapping):
        for key in kind.keys:
            yield Site(path, key.name, key.kind)
            if key.name in value:
                yield from sites(key.kind, value[key.name], (*path, key.name))
    elif isinstance(kind, ListOf | OneOrMore) and isinstance(value, list):
        for at, one in enumerate(value):
            yield from sites(kind.each, one, (*path, at))
    elif isinstance(kind, ByName) and isinstance(value, Mapping):
        for name, one in value.items():
            yield from sites(kind.each, one, (*path, name))
    else:
        inner = _inner(kind, value)
        if inner is not None:
            yield from sites(inner, value, path)


def _inner(kind: Kind, value: object) -> Kind | None:
    """Return the kind that reads the same node for another."""
    like: Kind | None = getattr(kind, "like", None)
    match kind:
        case LazySection():
            like = kind.section
        case OneOrMore():
            like = kind.each
        case WithPlace():
            like = kind.of
        case Named():
            like = kind.of()
        case ByShape():
            like = kind.mapping if isinstance(value, Mapping) else kind.sequence
    return like


_WRONG: Final[Sequence[Any]] = (
    None, True, 0, 1, -1, 1.5, "", " ", "x", "no", "0", "1s", "1B", [], {}, ["x"], [[]], {"x": 1},
)  # fmt: skip
_TEXTS: Final = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


def _measures(units: Mapping[str, int], *bounds: float) -> st.SearchStrategy[Any]:
    """Return texts of amounts around bounds, in all units."""

    def written(unit: str, bound: float, off: int) -> str:
        return f"{max(int(bound / units[unit]) + off, 0)}{unit}"

    near = st.builds(
        written, st.sampled_from([*units]), st.sampled_from(bounds), st.integers(-2, 2)
    )
    return near | st.sampled_from([*units]).map("0.5{}".format) | st.just("0" * 13 + "1s")


def _near(kind: Kind) -> st.SearchStrategy[Any]:
    """Return values of a kind, and some that nearly are."""
    made = _NEAR.get(type(kind))
    if made is not None:
        return made(kind)
    form = kind.form if isinstance(kind, PlainText) else None
    pattern = form.pattern if form is not None else getattr(kind, "pattern", None)
    if pattern is None:
        return _TEXTS
    plain = re.sub(r"\(\?P<\w+>", "(?:", pattern)
    printed = st.from_regex(f"^(?:{plain})$", fullmatch=True).filter(str.isprintable)
    return printed | printed.map(lambda text: f"{text}!") | _TEXTS


def _near_number(kind: WholeNumber) -> st.SearchStrategy[Any]:
    return st.sampled_from([kind.low, kind.high, kind.low - 1, kind.high + 1, kind.low + 1])


def _near_choice(kind: Choice) -> st.SearchStrategy[Any]:
    words = [*kind.values]
    return st.sampled_from([*words, *(word.upper() for word in words), words[0][:-1]])


def _near_list(kind: ListOf | OneOrMore) -> st.SearchStrategy[Any]:
    return st.lists(_near(kind.each), max_size=3) | _near(kind.each)


def _near_shapes(kind: ByShape) -> st.SearchStrategy[Any]:
    shapes = (kind.scalar, kind.sequence, kind.mapping)
    return st.one_of(*(_near(one) for one in shapes if one is not None))


_SECRETS: Final[Sequence[Any]] = (
    {"env": "X"},
    {"file": "x"},
    {"env": "X", "file": "x"},
    {"env": "1"},
    {},
    "s",
)
_NEAR: Final[dict[type, Callable[[Any], st.SearchStrategy[Any]]]] = {
    Duration: lambda kind: _measures(MILLISECONDS, kind.high * 1000, kind.low * 1000),
    Size: lambda _: _measures(BYTES, 1, 1 << 30),
    WholeNumber: _near_number,
    Version: lambda _: st.integers(0, 3),
    Portion: lambda _: st.sampled_from([0, 1, 0.5, 1.5, 0.000001, "0.5", 2]),
    Switch: lambda _: st.sampled_from([True, False, "true", "yes", 1]),
    Choice: _near_choice,
    SecretSource: lambda _: st.sampled_from(_SECRETS),
    Words: lambda kind: st.sampled_from([*kind.values]) | _near(kind.other),
    ListOf: _near_list,
    OneOrMore: _near_list,
    ByShape: _near_shapes,
    WithPlace: lambda kind: _near(kind.of),
    ByName: lambda kind: st.dictionaries(_TEXTS, _near(kind.each), max_size=2),
}


@st.composite
def documents(draw: st.DrawFn, root: Section[Any], entire: dict[str, Any]) -> dict[str, Any]:
    """Return a document in which the value of one key is another, or nearly is of its kind."""
    site = draw(st.sampled_from([*sites(root, entire)]))
    document = copy.deepcopy(entire)
    around: Any = document
    for step in site.path:
        around = around[step]
    change = draw(st.sampled_from(["kind", "kind", "kind", "wrong", "gone", "unknown"]))
    if change == "gone":
        around.pop(site.name, None)
    elif change == "unknown":
        around[f"{site.name}x"] = around.get(site.name, "x")
    else:
        around[site.name] = draw(_near(site.kind) if change == "kind" else st.sampled_from(_WRONG))
    return document
