"""Where the names that bind values are read, and what values are bound to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...config.declared.composed import ByShape, ListOf, Named
from ...config.declared.kinds import PlainText
from ...config.declared.section import Section, setting
from ...config.rules.options import BIND, BindSyntax
from ...config.yaml.nodes import Problems, show
from ...core.crypto.joined_names import JoinKind
from ...core.errors import InvalidExpression
from ...core.rules.model import Part


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """A name that a column of the row holds; of NDJSON, a member of the object."""

    column: str


@dataclass(frozen=True, slots=True)
class SqlSource:
    """A name that the database computes for each row: an expression, such as a subquery."""

    expression: str


@dataclass(frozen=True, slots=True)
class ConstSource:
    """A name that is the same for every row."""

    text: str


@dataclass(frozen=True, slots=True)
class JoinedSource:
    """A name joined of several: a list in its order, or members in any order."""

    kind: JoinKind
    parts: tuple[NameSource, ...]


NameSource = ColumnSource | SqlSource | ConstSource | JoinedSource
Read = ColumnSource | SqlSource
"""What is read from each row beside the values."""


_SPELLED: Final[Mapping[str, Callable[[str], NameSource]]] = {
    "column": ColumnSource,
    "const": ConstSource,
    "sql": SqlSource,
}


def _source(written: str) -> NameSource:
    kind, colon, rest = written.partition(":")
    if not rest.strip() or kind not in _SPELLED:
        told = f"{show(written)} is not a source; one of: column:, const:, sql:"
        raise InvalidExpression(told, hint="" if colon else f"for example `column:{written}`")
    return _SPELLED[kind](rest)


_SOURCE: Final = PlainText(
    "source", parse=_source, pattern=rf"(?:{'|'.join(_SPELLED)}):[\s\S]*\S[\s\S]*"
)


def _joined(kind: JoinKind) -> ListOf:
    return ListOf(
        NAME, "list of sources", make=lambda parts: JoinedSource(kind, parts) if parts else None
    )


NAME: Final = Named(
    "name",
    lambda: ByShape(_SOURCE, _joined("list"), MEMBERS),
    "`column:name`, `const:text`, `sql:expression`, a list, `members`",
)


@dataclass(frozen=True, slots=True)
class _Members:
    """A name joined of members."""

    members: JoinedSource = setting(_joined("members"), "The same name in any order.")


MEMBERS: Final[Section[Any]] = Section(
    _Members, "members", "A joined name", make=lambda values, *_: values.get("members")
)


def _name(doc: str) -> Any:  # noqa: ANN401 - as `setting`
    return setting(NAME, doc, absent="{around}")


@dataclass(frozen=True, slots=True)
class TableNames:
    """What a table gives its columns."""

    tenant: NameSource | None = _name("The tenant whose keys are used.")
    conversation: NameSource | None = _name("The conversation whose key is used.")
    message: NameSource | None = _name("The message id; with `bind`.")
    purpose: str | None = setting(PlainText(), "A constant; with `bind`.", absent="{around}")


@dataclass(frozen=True, slots=True)
class Binding:
    """What the values of a column are bound to. None: not bound to that part.

    As it is written, it may lack what is given around it; `bind` then are the parts that count.
    """

    tenant: NameSource | None = _name("The tenant whose keys are used.")
    conversation: NameSource | None = _name("The conversation whose key is used.")
    field: str | None = setting(
        PlainText("name"), "The field that values are bound to.", absent="{field}"
    )
    message: NameSource | None = _name("The message id; with `bind`.")
    purpose: str | None = setting(PlainText(), "A constant; with `bind`.", absent="{around}")
    bind: BindSyntax | None = setting(
        BIND,
        "What a sealed value is bound to; the same as in the rules of the sidecar.",
        absent="`[tenant, conversation, field]`, without those that are not given",
    )

    @property
    def reads(self) -> Iterator[Read]:
        """Yield what must be read from a row to bind its values."""
        for source in (self.tenant, self.conversation, self.message):
            yield from _reads(source)

    def within(self, around: Binding) -> Binding:
        """Return it with what is given around it, where it does not say something else."""
        return Binding(
            self.tenant or around.tenant,
            self.conversation or around.conversation,
            self.field or around.field,
            self.message or around.message,
            self.purpose or around.purpose,
            self.bind,
        )

    def bound(self, problems: Problems) -> Binding:
        """Return the parts that `bind` names, or those of the default; report those not given."""
        parts: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
        if self.bind is not None:
            parts = self.bind.parts
            for part in sorted(parts):
                if getattr(self, part) is None:
                    problems.add(
                        self.bind.place, f"binds `{part}`, which is not given", f"write `{part}`"
                    )
        return Binding(**{part: getattr(self, part) for part in parts})


def _reads(source: NameSource | None) -> Iterator[Read]:
    if isinstance(source, JoinedSource):
        for part in source.parts:
            yield from _reads(part)
    elif isinstance(source, ColumnSource | SqlSource):
        yield source
