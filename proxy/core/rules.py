"""Rules as values: which messages, and what happens to their requests and responses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from .message import Direction, MediaType
from .routes import Pattern
from .selectors import JsonSelector, Selector, Whole
from .sources import Source, json_sources
from .token import Form

Part = Literal["tenant", "conversation", "field", "message", "purpose"]
PARTS: tuple[Part, ...] = ("tenant", "conversation", "field", "message", "purpose")
NAMED_PARTS: tuple[Literal["tenant", "conversation", "message"], ...] = (
    "tenant",
    "conversation",
    "message",
)
JOSE = "application/jose"


@dataclass(frozen=True, slots=True)
class Names:
    """Where the names that bind a message are read. None where a rule gives none."""

    tenant: Source | None = None
    conversation: Source | None = None
    message: Source | None = None

    def get(self, part: Literal["tenant", "conversation", "message"]) -> Source | None:
        """Return the source of one part."""
        if part == "tenant":
            return self.tenant
        return self.conversation if part == "conversation" else self.message


@dataclass(frozen=True, slots=True)
class Item:
    """One selector with how its values are sealed.

    `bind` holds the parts that are bound; `max_chars` counts characters of the sealed value.
    """

    selector: Selector
    field: str
    bind: frozenset[Part]
    form: Form = "jwe"
    max_chars: int | None = None
    optional: bool = False
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """What happens to the messages of one direction that fit its conditions.

    `types` and `statuses` are empty where the block does not name any. `permissive_until` is in
    seconds since 1970; None is mode `enforce`. `placeholder` stands for cut tokens.
    """

    encrypt: tuple[Item, ...] = ()
    decrypt: tuple[Item, ...] = ()
    absent: tuple[Selector, ...] = ()
    names: Names = Names()
    types: tuple[str, ...] = ()
    statuses: tuple[tuple[int, int], ...] = ()
    permissive_until: float | None = None
    keep_unopened: bool = False
    already_sealed: Literal["seal", "keep", "reject"] = "seal"
    case_variants_allowed: bool = False
    max_tokens: int = 10_000
    placeholder: str = "[sealed]"

    @property
    def reads_json(self) -> bool:
        """Whether the block needs the body to be JSON."""
        selectors = (*(item.selector for item in (*self.encrypt, *self.decrypt)), *self.absent)
        return any(
            isinstance(one, JsonSelector) or one is Whole.TOKENS for one in selectors
        ) or any(True for part in NAMED_PARTS for _ in json_sources(self.names.get(part)))

    def fits(self, media_type: MediaType | None, status: int | None) -> bool:
        """Tell whether a message with this type (and, for responses, status) is for this block."""
        if status is not None and not self.fits_status(status):
            return False
        if self.types:
            return media_type is not None and any(
                _covers(one, media_type.essence) for one in self.types
            )
        if self.reads_json:
            return media_type is not None and media_type.is_json
        if any(item.selector is Whole.BODY for item in self.decrypt):
            return media_type is not None and media_type.essence == JOSE
        return True

    def fits_status(self, status: int) -> bool:
        """Tell whether responses with this status are for this block."""
        tokens = any(item.selector is Whole.TOKENS for item in self.decrypt)
        ranges = self.statuses or (((200, 299),) if tokens else ((100, 599),))
        return any(low <= status <= high for low, high in ranges)


def _covers(wanted: str, essence: str) -> bool:
    """Tell whether the type of a rule (`text/*`, `*/*`, `application/json`) covers a message's."""
    kind, _, subtype = wanted.partition("/")
    return wanted in {essence, "*/*"} or (subtype == "*" and essence.startswith(f"{kind}/"))


class Verdict(Enum):
    """What a rule says of a whole direction without reading the message."""

    PASS = "pass"  # noqa: S105 - a word of the grammar
    REJECT = "reject"


Behaviour = Verdict | tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A route plus what happens to its requests and responses."""

    name: str
    patterns: tuple[Pattern, ...]
    names: Names = Names()
    request: Behaviour = Verdict.PASS
    response: Behaviour = Verdict.PASS
    max_body: int = 16 * 1024 * 1024

    def behaviour(self, direction: Direction) -> Behaviour:
        """Return what the rule does in one direction."""
        return self.request if direction == "request" else self.response
