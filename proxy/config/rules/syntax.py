"""Rules as they are written, before defaults are applied. None means: not given."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypeVar

from ...core.crypto.token import Form
from ...core.expressions.routes import Pattern
from ...core.expressions.selectors import JsonSelector, Selector
from ...core.expressions.sources import Source
from ...core.formats.body_format import Kind
from ...core.formats.escaping import Escape
from ...core.rules.conditions import Condition
from ...core.rules.model import Batching, NamedPart, Nothing, Part, Verdict
from ..settings import RuleLog
from ..yaml.nodes import Place

AlreadySealed = Literal["seal", "keep", "reject"]


@dataclass(frozen=True, slots=True)
class SourceSyntax:
    """A source and its place."""

    source: Source
    place: Place


@dataclass(frozen=True, slots=True)
class NamesSyntax:
    """The sources of a rule or a block."""

    tenant: SourceSyntax | None = None
    conversation: SourceSyntax | None = None
    message: SourceSyntax | None = None
    sender: SourceSyntax | None = None
    recipients: SourceSyntax | None = None
    reader: SourceSyntax | None = None

    def get(self, part: NamedPart) -> SourceSyntax | None:
        """Return the source of one part."""
        source: SourceSyntax | None = getattr(self, part)
        return source


@dataclass(frozen=True, slots=True)
class BindSyntax:
    """The parts of a `bind` and its place."""

    parts: frozenset[Part]
    place: Place


@dataclass(frozen=True, slots=True)
class Mode:
    """`enforce`, `observe`, or `permissive` until a moment in seconds since 1970."""

    permissive_until: float | None = None
    observes: bool = False


@dataclass(frozen=True, slots=True)
class OptionsSyntax:
    """Options of `defaults`, a rule or a block, without `bind`; `expires` 0 is never."""

    mode: Mode | None = None
    keep_unopened: bool | None = None
    escape: Escape | None = None
    already_sealed: AlreadySealed | None = None
    case_variants_allowed: bool | None = None
    elsewhere_allowed: bool | None = None
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class ItemSyntax:
    """An item and its place. `field` is None only for `tokens`."""

    selector: Selector
    field: str | None
    place: Place
    form: Form | None = None
    max_chars: int | None = None
    string: bool | None = None
    min_chars: int | None = None
    optional: bool = False
    each: bool = False
    expires: int | None = None
    elsewhere_allowed: bool = False


@dataclass(frozen=True, slots=True)
class BlockSyntax:
    """A block and its place; a place beside a value is that value's."""

    place: Place
    encrypt: tuple[ItemSyntax, ...] = ()
    decrypt: tuple[ItemSyntax, ...] = ()
    absent: tuple[tuple[Selector, Place], ...] = ()
    types: tuple[str, ...] = ()
    statuses: tuple[tuple[int, int], ...] = ()
    names: NamesSyntax = NamesSyntax()
    options: OptionsSyntax = OptionsSyntax()
    bind: BindSyntax | None = None
    max_tokens: int | None = None
    placeholder: str | None = None
    rendered: tuple[JsonSelector, ...] = ()
    format: tuple[Kind, Place] | None = None
    when: tuple[Condition, ...] = ()
    nothing: tuple[Nothing, Place] | None = None
    only: tuple[tuple[str, ...], Place] | None = None
    sentinels: tuple[tuple[str, ...], Place] | None = None
    batch: tuple[Batching, Place] | None = None


BehaviourSyntax = Verdict | tuple[BlockSyntax, ...]


@dataclass(frozen=True, slots=True)
class SharedSyntax:
    """The keys that `defaults` and rules share."""

    names: NamesSyntax = NamesSyntax()
    purpose: str | None = None
    purpose_place: Place | None = None
    request: BehaviourSyntax | None = None
    response: BehaviourSyntax | None = None
    options: OptionsSyntax = OptionsSyntax()
    bind: BindSyntax | None = None
    log: RuleLog | None = None
    shuts_on_poison: bool | None = None

    @property
    def blocks(self) -> tuple[BlockSyntax, ...]:
        """All blocks, those of requests first."""
        both = (one for one in (self.request, self.response) if isinstance(one, tuple))
        return tuple(block for blocks in both for block in blocks)


@dataclass(frozen=True, slots=True)
class RuleSyntax:
    """A rule as it is written. `place` is the place of its name."""

    name: str
    place: Place
    patterns: tuple[tuple[Pattern, Place], ...]
    shared: SharedSyntax
    connections: int | None = None


@dataclass(frozen=True, slots=True)
class FieldSyntax:
    """The settings of a field in `fields`."""

    form: Form | None = None
    max_chars: int | None = None
    string: bool | None = None
    min_chars: int | None = None
    bind: BindSyntax | None = None


Overlaid = TypeVar("Overlaid", NamesSyntax, OptionsSyntax)


def overlay(base: Overlaid, over: Overlaid) -> Overlaid:
    """Return `base` with each key replaced that `over` gives."""
    said = {one.name: getattr(over, one.name) for one in dataclasses.fields(over)}
    return dataclasses.replace(base, **{k: v for k, v in said.items() if v is not None})


def inherit(defaults: SharedSyntax, own: SharedSyntax) -> SharedSyntax:
    """Return a rule's keys, with those of the defaults that it does not give, except `bind`."""
    return SharedSyntax(
        names=overlay(defaults.names, own.names),
        purpose=own.purpose or defaults.purpose,
        purpose_place=own.purpose_place,
        request=defaults.request if own.request is None else own.request,
        response=defaults.response if own.response is None else own.response,
        options=overlay(defaults.options, own.options),
        shuts_on_poison=(
            defaults.shuts_on_poison if own.shuts_on_poison is None else own.shuts_on_poison
        ),
        bind=own.bind,
        log=own.log or defaults.log,
    )
