"""The rules of a sidecar as the description of a job of tables: what it binds, they must open.

Fields, parts, constant names and forms are compared, and a constant name with those that issuers
may give. What a name is read from is not: a job reads columns where a rule reads paths and members.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...config.load import load
from ...config.settings import ListenerSettings
from ...config.settings.callers import CallerJwt, CallerSettings, CallerTenants
from ...config.yaml.nodes import Place, Problems, show
from ...core.expressions.sources import NameSource as RuleSource
from ...core.expressions.sources import Source
from ...core.rules.model import Block, Item, Names, Part, Rule
from ...keys.keyring.jwk_set import parse_object
from .model import Column, StoredTable
from .names import ConstSource, NameSource
from .places import RulesKey

_NAMED: Final[tuple[Part, ...]] = ("tenant", "conversation", "message")
_HINT: Final = "compare with the rules of `rules`"


@dataclass(frozen=True, slots=True)
class _Described:
    """An item of a rule, with the names that count for it, and who may give names from claims."""

    item: Item
    names: Names
    callers: Sequence[CallerSettings]

    def opens(self, column: Column) -> str:
        """Return why what the column binds is not what the item does; empty if it is."""
        bound = frozenset(
            one for one in (*_NAMED, "field", "purpose") if getattr(column.binding, one) is not None
        )
        if bound != self.item.bind:
            return f"binds {_listed(bound)}, and its rule {_listed(self.item.bind)}"
        for part in bound - {"field"}:
            said = getattr(column.binding, part)
            own = said if part == "purpose" else _constant(said)
            if own is not None and not self._may_be(own, getattr(self.names, part, None)):
                return f"has the {part} {show(own)}, which no caller of its rule may name"
            ruled = self.item.purpose if part == "purpose" else _fixed(getattr(self.names, part))
            if None not in (own, ruled) and own != ruled:
                return f"has the {part} {show(own or '')}, and its rule {show(ruled or '')}"
        return ""

    def _may_be(self, name: str, source: Source | None) -> bool:
        """Return whether a rule may read a name: `tenants` of the issuers say which they give."""
        if not isinstance(source, RuleSource) or source.place != "caller":
            return True
        tokens = [one.by for one in self.callers if isinstance(one.by, CallerJwt)]
        return any(
            one.tenants is None or one.tenants.claim != source.name or _gives(one.tenants, name)
            for one in tokens
        )


def _gives(tenants: CallerTenants, name: str) -> bool:
    names = tenants.names
    if isinstance(names, Path):
        with suppress(OSError):  # `validate` tells of a table that cannot be read
            return name in (parse_object(names.read_bytes()) or {}).values()
        return True
    return name.startswith(names) and name != names if isinstance(names, str) else name in names


def compare(
    found: Sequence[tuple[StoredTable, Sequence[Place]]],
    key: RulesKey,
    environ: Mapping[str, str],
    problems: Problems,
) -> str:
    """Report each column that no rule opens; return the SHA-256 of the configuration, hex.

    Raises ConfigurationError with the mistakes of the configuration.
    """
    path, _ = key
    listeners = load(path, environ).settings.listeners
    opening = list(_items(listeners, sealing=False))
    sealing = list(_items(listeners, sealing=True))
    for table, places in found:
        tags = {one.tags_of: one for one in table.columns if one.tags_of is not None}
        for column, place in zip(table.columns, places, strict=True):
            if column.tags_of is not None:
                continue
            told = _unlike(column, opening, "opens") or _form(column, sealing)
            told = told or _index(column, tags.get(column.name), sealing)
            if told:
                problems.add(place, f"the column {show(column.name)} {told}", _HINT)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _items(listeners: Sequence[ListenerSettings], *, sealing: bool) -> Iterator[_Described]:
    for listener in listeners:
        for rule in listener.rules:
            for block in rule.blocks:
                names = _names(rule, block)
                for item in block.encrypt if sealing else block.decrypt:
                    if not item.parties:
                        yield _Described(item, names, listener.callers)


def _names(rule: Rule, block: Block) -> Names:
    return Names(
        *(getattr(block.names, one) or getattr(rule.names, one) for one in Names.__slots__)
    )


def _unlike(column: Column, described: Sequence[_Described], does: str) -> str:
    """Return why no item is for what a column binds; empty where one is."""
    field = column.binding.field
    same = [one for one in described if "field" not in one.item.bind or one.item.field == field]
    if not same:
        return f"has the field {show(field or '')}, which no rule {does}"
    why = [one.opens(column) for one in same]
    return "" if "" in why else why[0]


def _form(column: Column, sealing: Sequence[_Described]) -> str:
    """Return which form rules seal in where they seal what a column holds in another."""
    forms = {one.form for one in _sealed_as(column, sealing)}
    if not forms or column.form in forms:
        return ""
    return f"has the form `{column.form}`, and its rule `{min(forms)}`"


def _index(column: Column, tags: Column | None, sealing: Sequence[_Described]) -> str:
    """Return in which way rules index what a column holds, where that is another one.

    `tags` is the column that holds the tags of its values, if one does.
    """
    indexes = {(one.index, one.tags_member is not None) for one in _sealed_as(column, sealing)}
    own = (column.index, False) if tags is None else (tags.index, True)
    return "" if not indexes or own in indexes else "has another `index` than its rule"


def _sealed_as(column: Column, sealing: Sequence[_Described]) -> list[Item]:
    field = column.field
    return [one.item for one in sealing if one.item.field == field and not one.opens(column)]


def _constant(source: NameSource) -> str | None:
    return source.text if isinstance(source, ConstSource) else None


def _fixed(source: Source | None) -> str | None:
    constant = isinstance(source, RuleSource) and source.place == "const"
    return source.name if constant and isinstance(source, RuleSource) else None


def _listed(parts: frozenset[Part]) -> str:
    return f"[{', '.join(sorted(parts))}]"
