"""One request with its answer: the names that bind their values, read once.

Names outside bodies come from the request's head. Names inside bodies come from the message at
hand; those of a rule are kept from the request for the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..callers import ANYONE, VerifiedCaller
from ..compiled.block import CompiledBlock
from ..compiled.flat_json import Kept
from ..compiled.request_names import RequestNames
from ..compiled.rule_table import Decision
from ..crypto.context import Context
from ..crypto.joined_names import Joined, Name
from ..errors import AmbiguousRequest, InvalidBody, MaskedValue, MissingValue, UnlistedName
from ..expressions.sources import (
    AskSource,
    ComposedSource,
    FirstSource,
    JsonSource,
    MembersSource,
    NameSource,
    SameSource,
    Source,
)
from ..formats.body_format import NOT_ANNOUNCED
from ..http.message import Direction, RequestHead
from ..rules.model import Block, Item, NamedPart
from ..values.table import Values

if TYPE_CHECKING:
    from ..search.queries import Query  # loaded with its rules


class Attachment(NamedTuple):
    """What is to be done to a binary attachment: sealed or opened, as `item` says.

    `context` is that of the value that it stands for; `block` is the one that took the packet.
    """

    context: Context
    block: Block
    item: Item
    seals: bool


Announced = tuple[Attachment | None, ...]
"""The attachments that are to come, in order; None for those that pass as they are."""
JsonReader = Callable[[JsonSource], Name | None]


class Exchange(RequestNames):
    """One request and its response: the rule that takes them, and the names of the request.

    `facts` are names of the request's body that the response needs. `announced` are the attachments
    that are to come in each direction: planning takes those of before, and leaves those after.
    `asked` are the names that the backend has told, `sought` is what the request searches for, by
    the names of the searches.
    """

    __slots__ = ("_caller", "_decided", "announced", "asked", "decision", "facts", "sought")

    def __init__(self, decision: Decision, head: RequestHead) -> None:
        """Begin an exchange for a request that passed the gate and was decided; anyone sends it.

        Where tags are made, the Referer is cut to its origin: addresses of pages that search often
        have the words.
        """
        if decision.tagged is not None and b"referer" in head.names.places:
            head = head.without_pages()
        self._decided = decision
        self.decision: Decision
        super().__init__(head, decision.captures)
        self.facts: dict[JsonSource, Name | None] = {}
        self.asked: dict[AskSource, str] = {}
        self.sought: dict[str, Query] = {}
        self.announced: dict[Direction, Announced] = {}

    @property
    def caller(self) -> VerifiedCaller | None:
        """Who was verified to send the request; None: anyone."""
        return self._caller

    @caller.setter
    def caller(self, caller: VerifiedCaller | None) -> None:
        """Take the rule as this caller meets it, before anything is asked of it."""
        self._caller = caller
        self.decision = self._decided.seen_by(ANYONE if caller is None else caller.name)

    @property
    def for_caller(self) -> bool:
        """Whether the answer is for who asks alone, as where elements may be dropped from it."""
        return self.decision.for_caller or bool(self.sought)

    @property
    def until(self) -> float | None:
        """When messages of its rule end, in seconds since 1970: with the caller's credential."""
        caller = self._caller
        return caller.expires if caller is not None and self.decision.for_caller else None

    @property
    def purpose_of_use(self) -> str | None:
        """The purpose of use that the request states, None where its rule asks for none."""
        rule = self.decision.compiled_rule
        return None if rule is None or rule.access is None else rule.access.purpose_of(self)

    @property
    def keeps(self) -> tuple[JsonSource, ...]:
        """The sources in the request's body whose names the response needs."""
        compiled_rule = self.decision.compiled_rule
        return compiled_rule.request[0].keeps if compiled_rule and compiled_rule.request else ()

    @property
    def asks(self) -> Mapping[AskSource, NamedPart]:
        """The names that the backend must be asked for, each with what it names."""
        compiled_rule = self.decision.compiled_rule
        return {} if compiled_rule is None else compiled_rule.asks

    @property
    def kept(self) -> Kept:
        """The names that were kept, in the order of `keeps`."""
        return tuple([self.facts.get(one) for one in self.keeps])

    def keep(self, kept: Kept) -> None:
        """Keep the names that a message has left."""
        self.facts.update(zip(self.keeps, kept, strict=True))

    def refuse_unclear(self) -> None:
        """Refuse a request in whose head a name that its rule reads has two readings.

        To be called before anything of it goes on. Raises AmbiguousRequest, MissingValue for a name
        that is empty, UnlistedName for a name of the query that the rule does not list,
        MethodNotAllowed for one that rules of other methods have; and what the caller is refused.
        """
        if (other := self.decision.other) is not None:
            other.refuse_names(self.head)
        compiled_rule = self.decision.compiled_rule
        if compiled_rule is None:
            return
        if compiled_rule.access is not None:
            compiled_rule.access.refuse(self)
        if compiled_rule.query is not None:
            compiled_rule.query.refuse_others(self.head)
        if compiled_rule.headers is not None:
            compiled_rule.headers.refuse_others(self.head)
        if compiled_rule.names is not None:
            compiled_rule.names.refuse_unclear(self)

    @property
    def sees_less(self) -> bool:
        """Whether the request may change a field that its caller does not see.

        So may a PATCH, and a message of a WebSocket.
        """
        rule, pattern = self.decision.compiled_rule, self.decision.pattern
        changes = self.head.method == "PATCH" or (pattern is not None and pattern.websocket)
        access = None if rule is None else rule.access
        return changes and access is not None and access.unseen

    def refuse_unseen(self, values: Values | None, body: bytes = b"") -> None:
        """Refuse to change what the caller does not get as a value; raise MaskedValue.

        `values` are what the request seals, None where they are not known yet. A `body` that is a
        list may be a JSON Patch (RFC 6902), which names by texts what it changes.
        """
        if not self.sees_less:
            return
        rows = () if values is None else (*values.hows, *values.framing)
        known = values is not None and not body.lstrip(b" \t\r\n").startswith(b"[")
        if not known or any(one.item is not None and one.item.unseen for one in rows):
            raise MaskedValue("unseen-changed")

    def refuse_body(self) -> None:
        """Refuse a request for its body, where no rule reads that and there must be none.

        Raises MethodNotAllowed, UnlistedName.
        """
        if (other := self.decision.other) is not None:
            other.refuse()
        if self.decision.takes_no_body:
            told = "The rule reads answers alone: its requests have no body."
            raise UnlistedName("unlisted-body", detail=told)

    def read(self, source: Source, json_reader: JsonReader) -> Name | None:
        """Return the name that a source gives, or None where it gives none.

        Raises AmbiguousRequest where a name occurs twice, MissingValue where it is not text.
        """
        if isinstance(source, NameSource | JsonSource | AskSource):
            return self._read_one(source, json_reader)
        names = (self.read(part, json_reader) for part in source.parts)
        if isinstance(source, ComposedSource):
            return _composed(source, *names)
        if isinstance(source, SameSource):
            name, *others = names
            if any(one is not None and one != name for one in others):
                raise AmbiguousRequest("name-differs")
            return name
        if isinstance(source, FirstSource):
            return next((name for name in names if name is not None), None)
        found = [name for name in names if name is not None]
        if len(found) < len(source.parts):
            return None
        return Joined("members" if isinstance(source, MembersSource) else "list", found)

    def _read_one(
        self, source: NameSource | JsonSource | AskSource, json_reader: JsonReader
    ) -> Name | None:
        if isinstance(source, NameSource):
            return self.name(source)
        return self.asked.get(source) if isinstance(source, AskSource) else json_reader(source)


def _composed(source: ComposedSource, name: Name | None) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str) or "/" in name:
        raise MissingValue("slash-in-name", detail="A name has a `/` where it is part of a text.")
    return f"{source.before}{name}{source.after}"


class Messages:
    """The messages of one direction, all under the rule that took the handshake.

    `announced` are the attachments that are still to come. `before` returns those that polls of the
    same session have announced: the transport may change between a packet and its attachments.
    """

    __slots__ = ("_before", "compiled_blocks", "direction", "exchange")

    def __init__(
        self,
        exchange: Exchange,
        direction: Direction,
        before: Callable[[], Announced] | None = None,
    ) -> None:
        """Begin with the rule that took the handshake."""
        compiled_rule = exchange.decision.compiled_rule
        self.exchange = exchange
        self.direction = direction
        self.compiled_blocks: tuple[CompiledBlock, ...] = ()
        if compiled_rule is not None:
            self.compiled_blocks = (
                compiled_rule.request if direction == "request" else compiled_rule.response
            )
        self._before = before

    @property
    def announced(self) -> Announced:
        """The attachments that are still to come."""
        return self.exchange.announced.get(self.direction, ())

    @property
    def seals(self) -> bool:
        """Whether a block seals something of these messages."""
        return any(one.block.seals for one in self.compiled_blocks)

    def begin(self, compiled: CompiledBlock, body: bytes, *, binary: bool) -> None:
        """Take over from the polls of the session, with its first packet that is not a probe.

        Raises InvalidBody for more than one packet a message.
        """
        packets = compiled.packets
        if packets is None:
            return
        if not binary and packets.separator in body:
            raise InvalidBody("several-packets")
        if self._before is not None and (binary or packets.needs_session(body)):
            self.exchange.announced[self.direction] = self._before()
            self._before = None

    def next_attachment(self) -> Attachment | None:
        """Return what is to be done to the next attachment; None: it passes as it is.

        Raises InvalidBody where none was announced.
        """
        announced = self.announced
        if not announced:
            raise InvalidBody("attachment-not-announced", detail=NOT_ANNOUNCED)
        self.exchange.announced[self.direction] = announced[1:]
        return announced[0]
