"""Contexts of a row's values: what each is bound to, by the names that the row holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from ...core.crypto.context import Context, Scope
from ...core.crypto.joined_names import Joined, Name
from ..job.model import Binding, ConstSource, JoinedSource, NameSource, Read, StoredTable

_KEPT_CONTEXTS = 4096


class RowBinder:
    """Binds the values of one table's rows; `names` of a row are in the order of `table.reads`."""

    def __init__(self, table: StoredTable) -> None:
        """Find where each name of a row is."""
        self._at = {source: at for at, source in enumerate(table.reads)}

    def contexts(
        self, bindings: Sequence[Binding], names: Sequence[str | None]
    ) -> tuple[Context | None, ...]:
        """Return the context by each binding; None where the row lacks a name, or it is empty."""
        return tuple(self._context(one, names) for one in bindings)

    def _context(self, binding: Binding, names: Sequence[str | None]) -> Context | None:
        found: list[Name | None] = []
        for source in (binding.tenant, binding.conversation, binding.message):
            name = None if source is None else _name(source, names, self._at)
            if source is not None and not name:
                return None
            found.append(name)
        tenant, conversation, message = found
        return _shared(tenant, conversation, binding.field, message, binding.purpose)


@lru_cache(maxsize=_KEPT_CONTEXTS)
def _shared(
    tenant: Name | None,
    conversation: Name | None,
    field: str | None,
    message: Name | None,
    purpose: str | None,
) -> Context:
    """Return one object for equal contexts: a session finds what it has of one by identity."""
    return Context(Scope(tenant, conversation), field, message, purpose)


def _name(source: NameSource, names: Sequence[str | None], at: Mapping[Read, int]) -> Name | None:
    if isinstance(source, ConstSource):
        return source.text
    if isinstance(source, JoinedSource):
        parts = [_name(one, names, at) for one in source.parts]
        whole = [one for one in parts if one]
        return Joined(source.kind, whole) if len(whole) == len(parts) else None
    return names[at[source]]
