"""How fields are indexed, as `fields` writes it, and where the tags of their values are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any as AnyType
from typing import Final

from ...core.errors import InvalidExpression
from ...core.expressions.selectors import Inside, JsonSelector, Selector, Step, Whole
from ...core.http.message import Direction
from ...core.rules.model import Item, Others
from ...core.search.model import ExactIndex, FieldIndex, IndexScope, WordsIndex
from ...core.search.normal_forms import NORMAL_FORMS, NormalForm
from ...core.search.skipped import COMMON
from ...core.search.words import words
from ..declared.composed import ListOf
from ..declared.kinds import Choice, PlainText, Switch, WholeNumber
from ..declared.section import Fields, Key, Section, one_of, setting
from ..yaml.nodes import Place, Problems, show
from .items import FieldSyntax, ItemSyntax

LEAKS: Final = (
    "whoever reads the backend sees which values of the tenant share a word, and who knows some"
    " texts of it learns the words of others: 11 of 100 with 50 texts of 6,500, 82 with 1,000"
)
_SCOPE: Final = Choice("conversation", "tenant")
_SCOPED: Final = "Within what values are found together: what they are bound to, or the tenant."


def _skipped(written: str) -> frozenset[str]:
    if written in COMMON:
        return COMMON[written]
    if words(written) != [written]:
        told = f"{show(written)} is no word as it is indexed"
        raise InvalidExpression(
            told, hint=f"write it in lower case, or one of: {', '.join(COMMON)}"
        )
    return frozenset((written,))


@dataclass(frozen=True, slots=True)
class _Exact:
    """Values that are found by equality."""

    normalize: NormalForm = setting(
        Choice(*NORMAL_FORMS), "Which values are the same: those with one normal form."
    )
    scope: IndexScope = setting(_SCOPE, _SCOPED, default="conversation")


@dataclass(frozen=True, slots=True)
class _Words:
    """Values that are found by their words."""

    scope: IndexScope = setting(_SCOPE, _SCOPED, default="conversation")
    skip: tuple[frozenset[str], ...] = setting(
        ListOf(PlainText("`common-en` or a word", parse=_skipped), "list of words"),
        "Words that get no tag, and cannot be searched: a list by its name, or a word. It cannot"
        " change without `sealyard migrate index`.",
        default=(),
    )
    most: int = setting(
        WholeNumber(1, 1000),
        "How many distinct words a value may have; one with more is refused (400).",
        default=80,
    )
    accept_leakage: bool = setting(
        Switch(), "Whether it is known what `scope: tenant` reveals.", default=False
    )


def _exact(values: dict[str, AnyType], fields: Fields, _: Problems) -> ExactIndex | None:
    return ExactIndex(**values) if fields.whole and "normalize" in values else None


def _words(values: dict[str, AnyType], fields: Fields, problems: Problems) -> WordsIndex:
    made = _Words(**values)
    if made.scope == "tenant" and not made.accept_leakage:
        problems.add(fields.place, f"`scope: tenant`: {LEAKS}", "add `accept_leakage: true`")
    return WordsIndex(made.scope, frozenset().union(*made.skip), made.most)


_EXACT: Final = Section(_Exact, "exact_index", "An index of whole values", make=_exact)
_WORDS: Final = Section(_Words, "words_index", "An index of words", make=_words)


@dataclass(frozen=True, slots=True)
class _Index:
    """How the values of a field can be found."""

    kind: FieldIndex = one_of(
        Key("exact", _EXACT, "By equality of whole values."),
        Key("words", _WORDS, "By whole words."),
    )


def _kind(values: dict[str, AnyType], _: Fields, __: Problems) -> FieldIndex | None:
    found: FieldIndex | None = values.get("kind")
    return found


INDEX: Final = Section(_Index, "index", "How the values of a field can be found", make=_kind)


def index_of(
    syntax: ItemSyntax, field: FieldSyntax, direction: Direction, problems: Problems
) -> tuple[FieldIndex | None, str | None]:
    """Return how an item that is sealed is indexed, and in which member; report what cannot be."""
    index, where = field.index, syntax.index
    if direction == "response":
        if where is not None:
            told = "`index` only applies to requests: tags are for the backend"
            problems.add(syntax.place, told, "delete it")
        return None, None
    if index is None:
        if where is not None:
            told = f"field {show(syntax.field or '')} has no index"
            problems.add(syntax.place, told, "add `index` to the field in `fields`")
        return None, None
    if where is None:
        told = f"field {show(syntax.field or '')} has an index, and its tags have no place"
        problems.add(syntax.place, told, "add `index: behind`, or `index: {as: $.member}`")
        return index, None
    if isinstance(syntax.selector, Whole):
        problems.add(syntax.place, "a whole body cannot be searched", "select values in it")
    if where == "behind":
        return index, None
    name = _beside(syntax.selector, where.selector)
    if name is None:
        problems.add(
            syntax.place,
            f"{show(where.selector.text)} is no member beside the value",
            "write the path of the value with another last name",
        )
    return index, name


def check_members(
    encrypt: tuple[Item, ...],
    plain: Sequence[Selector],
    others: Others,
    place: Place,
    problems: Problems,
) -> None:
    """Report members of tags that a request may have itself, or that two values would share."""
    members = [
        (*one.selector.steps[:-1], Step(one.tags_member))
        for one in encrypt
        if one.tags_member is not None and isinstance(one.selector, JsonSelector)
    ]
    selectors = [*plain, *(one.selector for one in encrypt)]
    taken = [one.steps for one in selectors if isinstance(one, JsonSelector)]
    if len(set(members)) < len(members) or any(_meet(one, at) for one in taken for at in members):
        told = (
            "the member of `index: {as}` is selected or listed as plain, or is that of two values"
        )
        problems.add(place, told, "give the tags of each value a member of their own")
    if others != "refuse" and any(one.tags_member is not None for one in encrypt):
        told = "`index: {as}` needs `others: refuse`: a request must not have that member itself"
        problems.add(place, told, "delete `others`, or write `index: behind`")


def _meet(steps: tuple[Step, ...], member: tuple[Step, ...]) -> bool:
    """Return whether a selector may select a member, or what this lies in."""
    if any(one.deep for one in steps):
        return True
    pairs = zip(steps, member, strict=False)
    same = all(one.key == at.key or not isinstance(one.key, str) for one, at in pairs)
    return same and len(steps) <= len(member)


def check(item: Item, place: Place, problems: Problems) -> None:
    """Report options of an item that go with no index."""
    if item.parties:
        told = "has an index, and whoever searches would need the keys of the parties"
        problems.add(place, told, "take the index off, or `sender` and `recipients`")
    elif item.expires is not None:
        told = "expires, and its tags would stay in the backend"
        problems.add(place, told, "write `expires: never` on the item")
    elif item.form == "base64":
        problems.add(place, "form `base64` has no place for tags", "delete `form`")


def _beside(selector: Selector, member: JsonSelector) -> str | None:
    """Return the name of a member beside a value; None where it is none."""
    if not isinstance(selector, JsonSelector) or len(selector.steps) != len(member.steps):
        return None
    if not selector.steps or selector.steps[:-1] != member.steps[:-1]:
        return None
    own, name = selector.steps[-1], member.steps[-1]
    if not isinstance(own.key, str) or not isinstance(name.key, str) or own.key == name.key:
        return None
    deep = any(one.deep for one in selector.steps) or name.deep
    within = any(isinstance(one.key, Inside) for one in selector.steps)
    return None if deep or within else name.key
