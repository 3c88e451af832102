"""Whether a rule for GraphQL chooses operations by what the schema names."""

from __future__ import annotations

from typing import Final

from ...core.formats.graphql.body import GRAPHQL
from ...core.rules.conditions import text_value
from ..rules.resolve import ResolvedRule
from ..rules.syntax import BlockSyntax
from ..yaml.nodes import Problems

_CHOOSING: Final = ("field", "persisted")
_MUTATION: Final = text_value("mutation")


def check(resolved: ResolvedRule, problems: Problems) -> None:
    """Warn of blocks that take mutations, whatever their fields are."""
    blocks = resolved.shared.request
    if not isinstance(blocks, tuple) or resolved.rule.observes:
        return
    for block in blocks:
        if block.format is not None and block.format[0] == GRAPHQL.kind and _takes_any(block):
            problems.warn(
                block.place,
                "takes mutations with any fields, and passes what it does not select; add"
                " `$.field` to `when`, or `$.type: [query, subscription]`",
            )


def _takes_any(block: BlockSyntax) -> bool:
    """Return whether no condition says of which field, type or document an operation is."""
    for selector, values in ((one.selector, one.values) for one in block.when):
        name = selector.steps[0].key if len(selector.steps) == 1 else None
        if name in _CHOOSING or (name == "type" and _MUTATION not in values):
            return False
    return True
