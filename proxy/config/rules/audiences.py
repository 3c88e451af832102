"""Who gets what, as items write it: `for`, `otherwise`, masks by their names, purposes of use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol, runtime_checkable

from ...core.callers import ANYONE
from ...core.errors import InvalidExpression
from ...core.expressions.selectors import Whole
from ...core.expressions.sources import NameSource, parse_name
from ...core.http.message import Direction
from ...core.rules.audience import CallerAudience, Mask, Shown
from ..declared.composed import ByName, ByShape, ListOf, OneOrMore, WithPlace
from ..declared.kinds import Choice, PlainText, WholeNumber
from ..declared.section import Section, setting
from ..policy import MASK_CHARS, PURPOSE_CHARS
from ..yaml.nodes import Place, Problems, show, suggest

Word = Literal["value", "token", "absent", "refuse"]
_WORDS: Final[Mapping[str, Word]] = {one: one for one in ("value", "token", "absent", "refuse")}


@dataclass(frozen=True, slots=True)
class MaskName:
    """One of `masks`, by its name."""

    mask: str = setting(PlainText("name"), "The name of one of `masks`.")


WrittenShown = tuple[Word | MaskName, Place]
SHOWN: Final = WithPlace(
    ByShape(
        Choice(**_WORDS),
        mapping=Section(MaskName, "mask_name", "An outcome that is a mask"),
        how="`value`, `token`, `absent`, `refuse` or `{mask: NAME}`",
    )
)


def _header(written: str) -> str:
    source = parse_name(written)
    if not isinstance(source, NameSource) or source.place != "header":
        told = f"{show(written)} is no header"
        raise InvalidExpression(told, hint="write `header:NAME`")
    return source.name


@dataclass(frozen=True, slots=True)
class AudienceSyntax:
    """Who gets what of the values of an item."""

    shown: dict[str, WrittenShown] | None = setting(
        ByName(SHOWN, "mapping of callers to outcomes"),
        "What each caller of the listener gets of values that are opened in responses: the"
        " `value`, a `mask` of it, its `token`, `absent` (left out), or `refuse`, which refuses the"
        " request before the backend has it. `anyone` is a client without a credential.",
        absent="in a listener with `callers`, every one of them gets the value",
        name="for",
    )
    otherwise: WrittenShown | None = setting(
        SHOWN,
        "What everybody else gets; `value` is for callers alone, not for `anyone`.",
        absent="`refuse`",
    )
    purpose: tuple[str, Place] | None = setting(
        WithPlace(PlainText("`header:NAME`", parse=_header, pattern="header:.+")),
        "The header that must state one of `purposes_of_use`, where the caller gets the value or a"
        " mask (400 otherwise, `purpose-of-use-missing`).",
        default=None,
        name="purpose_of_use",
    )


@dataclass(frozen=True, slots=True)
class _Keep:
    """How much of a text a mask keeps."""

    first: int = setting(
        WholeNumber(0, MASK_CHARS), "How many characters stay at the beginning.", default=0
    )
    last: int = setting(
        WholeNumber(0, MASK_CHARS), "How many characters stay at the end.", default=0
    )


@dataclass(frozen=True, slots=True)
class _MaskSyntax:
    """A mask."""

    keep: _Keep = setting(
        Section(_Keep, "mask_keep", "`keep` of a mask"),
        "How many characters stay (grapheme clusters); a text with no more than these is hidden"
        " whole.",
        make=_Keep,
    )
    length: int | None = setting(
        WholeNumber(1, MASK_CHARS),
        "How many signs stand for what is hidden, so that they do not tell how much that is.",
        absent="one for each character",
    )


def _mask(values: dict[str, object], *_: object) -> Mask:
    made = _MaskSyntax(**values)  # type: ignore[arg-type]  # as the section has read them
    return Mask(made.keep.first, made.keep.last, made.length)


MASKS: Final = ByName(
    ByShape(
        Choice(email=Mask(email=True)),
        mapping=Section(_MaskSyntax, "mask", "A mask", make=_mask),
        how="a mask, or `email`: the first character and the domain stay",
    ),
    "masks by name",
)
PURPOSES: Final = ListOf(
    PlainText(
        "purpose",
        re.compile(rf"[a-z0-9-]{{1,{PURPOSE_CHARS}}}"),
        "is no purpose of use",
        f"at most {PURPOSE_CHARS} of `a-z`, `0-9`, `-`",
    ),
    "list of purposes",
    distinct=lambda one: one,
)
CALLERS: Final = WithPlace(OneOrMore(PlainText("caller"), "name of a caller, or a list of them"))


@dataclass(frozen=True, slots=True)
class Nameable:
    """What `for` may name: the callers of a listener, with what verifies them, and the file's."""

    callers: tuple[str, ...] = ()
    deciding: tuple[bytes, ...] = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)
    purposes: frozenset[str] = frozenset()

    def audience(
        self, written: AudienceSyntax, selector: object, place: Place, problems: Problems
    ) -> CallerAudience | None:
        """Return who gets what of an item of responses; None where callers are not told apart."""
        said = written.shown
        if not self.callers:
            if written != AudienceSyntax():
                _needs_callers(place, problems)
            return None
        if said is None:
            shown: tuple[tuple[str, Shown], ...] = tuple((one, "value") for one in self.callers)
        else:
            self.check(said, [at for _, at in said.values()], problems)
            shown = tuple(
                (name, self._shown(one, selector, problems)) for name, one in said.items()
            )
        otherwise: Shown = "refuse"
        if written.otherwise is not None:
            otherwise = self._shown(written.otherwise, selector, problems)
        purpose = written.purpose
        if purpose is not None and not self.purposes:
            problems.add(
                purpose[1], "no purpose of use is known", "list them under `purposes_of_use`"
            )
        return CallerAudience(shown, otherwise, None if purpose is None else purpose[0])

    def check(self, names: Iterable[str], places: Iterable[Place], problems: Problems) -> None:
        """Report each name that no caller of the listener has."""
        known = (*self.callers, ANYONE)
        for name, place in zip(names, places, strict=True):
            if name not in known:
                problems.add(
                    place, f"the listener has no caller {show(name)}", suggest(name, known)
                )

    def _shown(self, written: WrittenShown, selector: object, problems: Problems) -> Shown:
        word, place = written
        if not isinstance(word, MaskName):
            return word
        if selector is Whole.BODY:
            problems.add(place, "a whole body has no mask", "write `absent` or `refuse`")
        mask = self.masks.get(word.mask)
        if mask is None:
            told = f"no mask has the name {show(word.mask)}"
            problems.add(place, told, suggest(word.mask, self.masks))
        return mask or "refuse"

    def takers(
        self, said: tuple[tuple[str, ...], Place] | None, problems: Problems, *, opens: bool
    ) -> frozenset[str] | None:
        """Return whose requests a block takes; None: anyone's.

        One that opens values for the backend takes those of verified callers, unless it says whose.
        """
        if said is None:
            return frozenset(self.callers) if self.callers and opens else None
        names, place = said
        if not self.callers:
            _needs_callers(place, problems)
        else:
            self.check(names, [place] * len(names), problems)
        return frozenset(names)


@runtime_checkable
class _Header(Protocol):
    @property
    def name(self) -> str: ...


class Caller(Protocol):
    """A caller of a listener, and what its credential is."""

    @property
    def name(self) -> str:
        """Its name in rules."""

    @property
    def by(self) -> object:
        """The credential; one that is a header has its `name`."""


def with_callers(known: Nameable, callers: Sequence[Caller]) -> Nameable:
    """Return what the rules of a listener may name; answers vary by where credentials are."""
    names = tuple(dict.fromkeys(one.name for one in callers))
    headers = [b"Authorization"] if names else []
    headers += [one.by.name.encode() for one in callers if isinstance(one.by, _Header)]
    return replace(known, callers=names, deciding=tuple(dict.fromkeys(headers)))


def refuse_elsewhere(
    written: AudienceSyntax, action: str, direction: Direction, place: Place, problems: Problems
) -> None:
    """Report who gets what where nobody gets anything: in what is not opened for a client."""
    if written != AudienceSyntax() and (action, direction) != ("decrypt", "response"):
        problems.add(
            place,
            "`for`, `otherwise` and `purpose_of_use` only apply to `decrypt` in a response",
            "for requests, write `for` in the block: who may send them",
        )


def _needs_callers(place: Place, problems: Problems) -> None:
    problems.add(place, "the listener tells no callers apart", "give the listener `callers`")
