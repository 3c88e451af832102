"""One request with its answer: the names that bind their values, read once.

Names outside bodies come from the request's head. Names inside bodies come from the message at
hand; those of a rule are kept from the request for the answer.
"""

from __future__ import annotations

from collections.abc import Callable

from ..compiled.block import CompiledBlock
from ..compiled.request_names import RequestNames
from ..compiled.rule_table import Decision
from ..crypto.joined_names import Joined, Name
from ..errors import InvalidBody
from ..expressions.name_readings import FieldNames
from ..expressions.sources import FirstSource, JsonSource, MembersSource, NameSource, Source
from ..formats.parameters import fields_of_query
from ..http.message import Direction, RequestHead

Kept = tuple[Name | None, ...]
"""The names of a request's body that its response needs."""
JsonReader = Callable[[JsonSource], Name | None]


class Exchange(RequestNames):
    """One request and its response: the rule that takes them, and the names of the request.

    `facts` are names of the request's body that the response needs.
    """

    __slots__ = ("decision", "facts")

    def __init__(self, decision: Decision, head: RequestHead) -> None:
        """Begin an exchange for a request that passed the gate and was decided."""
        super().__init__(head, decision.captures)
        self.decision = decision
        self.facts: dict[JsonSource, Name | None] = {}

    @property
    def keeps(self) -> tuple[JsonSource, ...]:
        """The sources in the request's body whose names the response needs."""
        compiled_rule = self.decision.compiled_rule
        return compiled_rule.request[0].keeps if compiled_rule and compiled_rule.request else ()

    @property
    def kept(self) -> Kept:
        """The names that were kept, in the order of `keeps`; a way of responses takes them."""
        return tuple(self.facts.get(one) for one in self.keeps)

    def keep(self, kept: Kept) -> None:
        """Keep the names that a way has left."""
        self.facts.update(zip(self.keeps, kept, strict=True))

    def refuse_unclear(self) -> None:
        """Refuse a request in whose head a name that its rule reads has two readings.

        To be called before anything of it goes on. Raises AmbiguousRequest, MissingValue for a name
        that is empty.
        """
        compiled_rule = self.decision.compiled_rule
        if compiled_rule is not None and compiled_rule.names is not None:
            compiled_rule.names.refuse_unclear(self)

    def read(self, source: Source, json_reader: JsonReader) -> Name | None:
        """Return the name that a source gives, or None where it gives none.

        Raises AmbiguousRequest where a name occurs twice, MissingValue where it is not text.
        """
        if isinstance(source, NameSource):
            return self.name(source)
        if isinstance(source, JsonSource):
            return json_reader(source)
        names = (self.read(part, json_reader) for part in source.parts)
        if isinstance(source, FirstSource):
            return next((name for name in names if name is not None), None)
        found = [name for name in names if name is not None]
        if len(found) < len(source.parts):
            return None
        return Joined("members" if isinstance(source, MembersSource) else "list", found)


def has_query_parameter(head: RequestHead, name: str, *, any_case: bool) -> bool:
    """Tell whether the query holds a parameter `name`, in any spelling that some backend reads."""
    wanted = FieldNames({0: name})
    pairs = fields_of_query(head.query or "")
    return any(
        any_case or key == name or not one.in_case
        for key, _ in pairs
        for one in wanted.readings(key)
    )


class Messages:
    """The messages of one direction, all under the rule that took the handshake.

    `awaited` is how many attachments have been announced and are still to come.
    """

    __slots__ = ("awaited", "compiled_blocks", "direction", "exchange")

    def __init__(self, exchange: Exchange, direction: Direction) -> None:
        """Begin with the rule that took the handshake."""
        compiled_rule = exchange.decision.compiled_rule
        self.exchange = exchange
        self.direction = direction
        self.compiled_blocks: tuple[CompiledBlock, ...] = ()
        if compiled_rule is not None:
            self.compiled_blocks = (
                compiled_rule.request if direction == "request" else compiled_rule.response
            )
        self.awaited = 0

    @property
    def seals(self) -> bool:
        """Whether a block seals something of these messages."""
        return any(one.block.encrypt for one in self.compiled_blocks)

    def take_note(self, compiled: CompiledBlock, body: bytes, *, binary: bool) -> bool:
        """Follow attachments; return whether the message is one, which no rule reads.

        Raises InvalidBody for one that was not announced, and for more than one packet a message.
        """
        packets = compiled.packets
        if packets is None:
            return False
        if binary:
            if not self.awaited:
                raise InvalidBody("attachment-not-announced")
            self.awaited -= 1
            return True
        if packets.separator in body:
            raise InvalidBody("several-packets")
        self.awaited = packets.awaited_after(body, self.awaited)
        return False
