"""What several keys of a job have in common: selectors, and what looks like a token."""

from __future__ import annotations

from typing import Any, Final

from ...config.declared.kinds import Choice, Text
from ...config.declared.section import setting
from ...config.yaml.nodes import show
from ...core.errors import InvalidExpression
from ...core.expressions.selectors import JsonSelector, parse_json_selector

SELECTOR_PATTERN: Final = r"\$[\s\S]*"


def json_selector(written: str) -> JsonSelector:
    """Return what a JSON selector selects; raise InvalidExpression."""
    if not written.startswith("$"):
        told = f"{show(written)} is not a JSON selector"
        raise InvalidExpression(told, hint="begin it with `$`")
    return parse_json_selector(written)


SELECTOR: Final = Text("selector", parse=json_selector, pattern=SELECTOR_PATTERN)


def lookalikes() -> Any:  # noqa: ANN401 - as `setting`
    """Declare the key `lookalikes`."""
    return setting(
        Choice(leave=False, seal=True),
        "Whether `seal` seals a value that begins like a token and does not open. A token of"
        " another keyring is such a value, too.",
        default=False,
    )
