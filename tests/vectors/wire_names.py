"""Names, times and helpers that all makers of vectors of the wire format share."""

from __future__ import annotations

from typing import Any, Final

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import Joined, Name, to_json

NOW: Final = 1_800_000_000
NEW: Final = NOW - 600
PASSPHRASE: Final = "a passphrase of vectors, known to everybody"
TEXT: Final = "5:alice3:bob"
LIST, MEMBERS = Joined("list", ("alice", "bob")), Joined("members", ("bob", "alice"))
NESTED: Final = Joined("list", (Joined("members", ("ü", "")), "a", Joined("list", ("1:5",))))
USUAL: Final[dict[str, Name]] = {"tenant": "clinic", "conversation": "c1", "field": "content"}
PARTS: Final = ("tenant", "conversation", "field", "message", "purpose", "kind")

Vector = dict[str, Any]


def a_context(parts: dict[str, Name]) -> Context:
    """Return the context of parts by their names."""
    scope = Scope(parts.get("tenant"), parts.get("conversation"))
    return Context(scope, *(parts.get(one) for one in PARTS[2:]))  # type: ignore[arg-type]  # field and kind are texts


def spelled(parts: dict[str, Name]) -> Vector:
    """Return the parts as JSON spells them."""
    return {part: to_json(name) for part, name in parts.items()}
