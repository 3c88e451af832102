"""Forms in parts that change while they pass: each part is planned once it, or its head, has come.

Values and short files are held until they are there. A long file is sealed to a stream, or opened
from one, while it passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ..compiled.block import CompiledBlock
from ..crypto import sealed_stream
from ..errors import InvalidBody, MissingValue, OpenFailed, UnlistedName
from ..expressions.selectors import NamedSelector
from ..formats.multipart.reader import Boundary, Part, read_boundary
from ..formats.multipart.selection import PartFindings
from ..formats.multipart.stream_reader import Came, More, PartReader
from ..http.digests import Digests
from ..http.message import RequestHead, ResponseHead
from ..rules.model import Placed
from ..values.part_streams import PartStream
from ..values.streams import Content
from ..values.table import Values
from .binding import Binder
from .exchange import Exchange
from .find import refuse_in_head, refuse_missing, refuse_variants
from .find_in_head import add_head
from .find_in_parts import add_parts
from .find_whole import PartTokens
from .overrides import refuse_in_part
from .plan import Plan, PlannedFlow
from .refusals import pass_unsealed

_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,15}")
MakePlan = Callable[[bytes, Values], Plan]


class PassingForm(NamedTuple):
    """What is known of a form before it comes.

    A part that must be there whole may have `limit` bytes, and so far may those reach without which
    there is no such message. `watched` says that no part may ask for another method,
    `seals_in_head` that something of the message's head is sealed.
    """

    exchange: Exchange
    compiled: CompiledBlock
    binder: Binder
    boundary: Boundary
    limit: int
    watched: bool
    digests: Digests | None
    seals_in_head: bool


class FormFlow(PlannedFlow):
    """A form whose selected parts change as they come; all others pass as they are."""

    __slots__ = (
        "_came",
        "_content",
        "_form",
        "_lacking",
        "_plan",
        "_reader",
        "_sent",
        "_tokens",
        "_unsealed",
    )

    def __init__(self, form: PassingForm, plan: MakePlan) -> None:
        """Begin before the first byte; `plan` makes a plan of a part's text and its values."""
        self._form = form
        self._plan = plan
        self._reader = PartReader(form.boundary, self._needs_whole, form.limit)
        self._tokens = PartTokens(form.compiled)
        self._lacking = _required(form.compiled)
        self._unsealed = form.compiled.traits.optional and not form.seals_in_head
        self._came = 0
        self._content = Content()
        self._sent = b""

    @property
    def holds(self) -> bool:
        """Whether a part has not come yet without which nothing of the form may go on."""
        return bool(self._lacking) or (self._unsealed and not self._lets_pass)

    @property
    def _lets_pass(self) -> bool:
        return self._form.compiled.block.nothing == "pass"

    def feed(self, data: bytes) -> Iterator[bytes | Plan]:
        """Take bytes of the form; yield what may go on and what is to be done first.

        Raises MessageError, MissingValue and NothingSealed among them where a part that must be
        there has not begun within `limit` bytes.
        """
        if self._form.digests is not None:
            self._form.digests.update(data)
        self._came += len(data)
        for step in self._reader.feed(data):
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, Came):
                yield self._part(step)
            else:
                yield self._more(step)
        if self._lacking and self._came > self._form.limit:
            raise MissingValue(
                "missing-value",
                detail=f"{self._lacked}: a value is needed within {self._form.limit} bytes.",
            )
        if self._unsealed and not self._lets_pass and self._came > self._form.limit:
            pass_unsealed(self._form.compiled, Values())

    def end(self) -> Iterator[bytes | Plan]:
        """Yield the end of the form.

        Raises MissingValue or NothingSealed where a part is missing.
        """
        refuse_missing(self._form.compiled, self._lacking)
        if self._unsealed:
            values = Values()
            pass_unsealed(self._form.compiled, values)
            yield self._plan(b"", values)
        if self._form.digests is not None:
            self._form.digests.check()
        yield self._reader.end()

    def _part(self, came: Came) -> bytes | Plan:
        """Return a part as it may go on, or what is to be done with it."""
        form, text, part = self._form, came.text, came.part
        if form.watched:
            refuse_in_part(part)
        named = form.compiled.sources_elsewhere
        if named is not None:
            named.compare_part(form.exchange, part, text)
        findings = self._select(part)
        self._lacking -= {index for index, found in enumerate(findings.found) if found}
        if any(findings.found[one.index] for one in form.compiled.encrypt):
            self._unsealed = False
        values = Values()
        self._look_at_others(part, text, findings, values)
        binder = form.binder.into(values)
        add_parts(binder, findings, text)
        self._content, self._sent = Content(), b""
        if not came.whole:
            for one in values.what:
                if isinstance(one, PartStream):
                    one.rest, one.length = self._content, _told_length(came)
        self._tokens.add(binder, part, text, whole=came.whole)
        changes = len(values) or values.unlisted or values.replaced
        return self._plan(text, values) if changes else text

    def _look_at_others(
        self, part: Part, text: bytes, findings: PartFindings, values: Values
    ) -> None:
        """Refuse what is not listed of a part, in mode `permissive` once it is carried out."""
        compiled = self._form.compiled
        if compiled.parts is None:
            return
        try:
            compiled.parts.refuse_unlisted(part, findings, text)
        except UnlistedName as error:
            if compiled.block.permissive_until is None:
                raise
            values.unlisted = error, compiled.block

    def _more(self, more: More) -> bytes:
        """Return what may go on of a content, if no delimiter is within."""
        flow = self._content.flow
        if flow is None:
            return more.content
        text = flow.feed(more.content)
        if more.last:
            text += flow.end()
        delimiter = self._form.boundary.delimiter
        sent = (self._sent or self._content.first) + text
        if delimiter in sent:
            raise OpenFailed("boundary-in-value")
        self._sent = sent[-(len(delimiter) - 1) :]
        return text

    def _select(self, part: Part) -> PartFindings:
        """Return what is selected of a part; raise MessageError for what must not be there."""
        compiled = self._form.compiled
        if compiled.parts is None:
            return PartFindings(0)
        findings = compiled.parts.new_findings()
        compiled.parts.take(part, findings)
        refuse_variants(compiled, findings.variants)
        refuse_missing(compiled, findings.missing)
        return findings

    def _needs_whole(self, part: Part) -> bool:
        """Tell whether something is done to a part that takes all of it."""
        compiled = self._form.compiled
        named = compiled.sources_elsewhere
        if named is not None and named.takes(part):
            return True
        findings = self._select(part)
        if compiled.parts is not None and compiled.parts.reads(part):
            return True
        is_frame = part.media is not None and part.media.essence == sealed_stream.MEDIA_TYPE
        compared = is_frame and compiled.block.already_sealed == "keep"
        if _holds_content(compiled.encrypt, findings) and (part.is_text or compared):
            return True
        if _holds_content(compiled.decrypt, findings) and not is_frame:
            return True
        return self._tokens.searches(part)

    @property
    def _lacked(self) -> str:
        items = (*self._form.compiled.encrypt, *self._form.compiled.decrypt)
        return ", ".join(one.item.field for one in items if one.index in self._lacking)


def form_that_passes(
    exchange: Exchange,
    compiled: CompiledBlock,
    head: RequestHead | ResponseHead,
    *,
    limit: int,
    digests: Digests | None,
) -> tuple[PassingForm, Values]:
    """Return how a form changes while it passes, and what is done in the head of its message.

    Raises MessageError where the head says that it cannot be.
    """
    if isinstance(head, RequestHead):
        refuse_in_head(exchange, compiled, head)
    boundary = read_boundary(head.facts.get(b"content-type", ()))
    values = Values()
    binder = Binder(compiled, exchange, values)
    watched = isinstance(head, RequestHead) and exchange.decision.overridable
    add_head(binder, head)
    form = PassingForm(exchange, compiled, binder, boundary, limit, watched, digests, values.seals)
    return form, values


def _required(compiled: CompiledBlock) -> frozenset[int]:
    """Return the parts without which there is no such message, by index."""
    placed = compiled.encrypt
    if compiled.direction == "request":
        placed += compiled.decrypt
    return frozenset(one.index for one in placed if not one.item.optional)


def _holds_content(placed: tuple[Placed, ...], findings: PartFindings) -> bool:
    """Tell whether one of these takes the content of the part that was found, not only its name."""
    return any(
        findings.found[one.index]
        and isinstance(one.item.selector, NamedSelector)
        and one.item.selector.place == "part"
        for one in placed
    )


def _told_length(came: Came) -> int | None:
    """Return the length of its content that a part declares."""
    part = came.part
    if part.length is None:
        return None
    length = came.text[part.length.value : part.length.end]
    if not _LENGTH.fullmatch(length):
        raise InvalidBody("part-length")
    return int(length)
