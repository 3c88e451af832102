"""Forms in parts that are sealed while they pass: values as tokens, large files as frames."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from . import frame
from .binding import Binder
from .blueprint import Blueprint
from .edits import AtHand, Change
from .errors import InvalidBody, MissingValue, OpenFailed
from .exchange import Exchange
from .finding import needs_of, refuse_missing, refuse_present, refuse_variants
from .finding_in_head import HeadEdit, find_head_edits
from .finding_parts import FoundEdit, part_edits
from .formats.multipart import PARTS_MAX, Boundary, Part, read_boundary
from .formats.part_pieces import PartReader
from .formats.part_selection import PartFindings, PartSelection
from .frame_edits import Begun, SealFlow
from .method_override import refuse_in_part
from .needs import Needs
from .part_edits import SealFrameEdit, of_framed
from .rules import Block
from .selectors import NamedSelector
from .splicing import splice

_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,15}")


class SealForm(NamedTuple):
    """A form to be sealed part by part.

    A part that is sealed as a token may have `limit` bytes where it is a text. `watched` says that
    no part may ask for another method.
    """

    blueprint: Blueprint
    binder: Binder
    boundary: Boundary
    limit: int
    watched: bool

    def needs(self, beside: tuple[HeadEdit, ...]) -> Needs:
        """Return the sessions of these edits and of all values that there may be in the form."""
        of_head = needs_of(beside)
        seals = {**of_head.seals}
        for placed in self.blueprint.encrypt:
            try:
                scope = self.binder.context(placed, ()).scope
            except MissingValue:
                continue  # it is raised where there is such a part
            seals[scope] = seals.get(scope, 0) + PARTS_MAX
        return Needs(seals, of_head.opens)

    def begin(self, keys: AtHand, block: Block, now: float, _: bytes) -> Begun:
        """Return the flow; the form keeps its type."""
        return Begun(FormFlow(self, keys, block, now), None, "sealed")


class FormFlow:
    """A form whose selected parts are sealed as they come; all others pass as they are."""

    __slots__ = ("_reader", "_sealer")

    def __init__(self, form: SealForm, keys: AtHand, block: Block, now: float) -> None:
        """Begin; `keys` has the sessions that the form needs."""
        self._sealer = _PartSealer(form, keys, block, now)
        self._reader = PartReader(form.boundary, self._sealer, form.limit)

    @property
    def holds_head(self) -> bool:
        """A form that is refused before anything of it goes on reaches nobody."""
        return True

    def length(self, _: int | None) -> None:
        """Return None: what becomes of the parts is known once they have come."""

    def feed(self, data: bytes) -> bytes:
        """Return the parts that may go on now."""
        return self._reader.feed(data)

    def end(self) -> bytes:
        """Return the end; raise MissingValue where a part has not come that must be there."""
        self._sealer.refuse_missing()
        return self._reader.end()


class _PartSealer:
    """What becomes of each part."""

    __slots__ = ("_block", "_delimiter", "_flow", "_form", "_found", "_keys", "_now", "_sent")

    def __init__(self, form: SealForm, keys: AtHand, block: Block, now: float) -> None:
        self._form = form
        self._keys = keys
        self._block = block
        self._now = now
        self._delimiter = form.boundary.delimiter
        self._found: set[int] = set()
        self._flow: SealFlow | None = None
        self._sent = b""

    def whole(self, text: bytes, part: Part) -> bytes:
        """Return the part with all that is selected of it sealed."""
        edits = part_edits(self._form.blueprint, self._form.binder, self._select(part), text)
        changes = self._changes(edits)
        return self._checked(splice(text, changes), begins=True) if changes else text

    def begin(self, text: bytes, part: Part) -> bytes | None:
        """Return a part's head and the beginning of its content; None for a text to be sealed."""
        findings = self._select(part)
        if part.is_text and self._seals_content(findings):
            return None
        edits = list(part_edits(self._form.blueprint, self._form.binder, findings, text))
        framing = [one for one in edits if type(one) is SealFrameEdit]
        changes = self._changes(one for one in edits if type(one) is not SealFrameEdit)
        if len(framing) > 1:
            raise InvalidBody("spans-overlap")
        content = text[part.start :]
        self._flow = None
        if framing:
            (edit,) = framing
            session = self._keys.sealing[edit.context.scope]
            self._flow = SealFlow(*frame.begin(session, edit.context, edit.media))
            changes += of_framed(part, _frame_length(self._flow, text, part))
            content = self._flow.feed(content)
        elif not changes:
            return text
        return self._checked(splice(text[: part.start], changes) + content, begins=True)

    def more(self, content: bytes) -> bytes:
        """Return what may go on of the content."""
        return content if self._flow is None else self._checked(self._flow.feed(content))

    def finish(self) -> bytes:
        """Return the end of the content."""
        return b"" if self._flow is None else self._checked(self._flow.end())

    def refuse_missing(self) -> None:
        """Raise MissingValue where a part has not come that must be there."""
        blueprint = self._form.blueprint
        refuse_missing(blueprint, _parts(blueprint).lacking(self._found))

    def _select(self, part: Part) -> PartFindings:
        """Return what is selected of a part; raise MessageError for what must not be there."""
        form = self._form
        if form.watched:
            refuse_in_part(part)
        selection = _parts(form.blueprint)
        findings = selection.new_findings()
        selection.take(part, findings)
        refuse_variants(form.blueprint, findings.variants)
        refuse_missing(form.blueprint, findings.missing)
        self._found.update(index for index, found in enumerate(findings.found) if found)
        return findings

    def _seals_content(self, findings: PartFindings) -> bool:
        """Tell whether the content of the part that was found is sealed, not only its name."""
        return any(
            findings.found[one.index]
            and isinstance(one.item.selector, NamedSelector)
            and one.item.selector.place == "part"
            for one in self._form.blueprint.encrypt
        )

    def _changes(self, edits: Iterable[FoundEdit]) -> list[Change]:
        changes: list[Change] = []
        for edit in edits:
            change = edit.carry_out(self._keys, self._block, self._now)
            changes += (change, *change.also)
        return changes

    def _checked(self, text: bytes, *, begins: bool = False) -> bytes:
        """Return what takes the place of a part, or more of it, if no delimiter is within."""
        sent = text if begins else self._sent + text
        if self._delimiter in sent:
            raise OpenFailed("boundary-in-value")
        self._sent = sent[-(len(self._delimiter) - 1) :]
        return text


def form_to_seal(
    exchange: Exchange, blueprint: Blueprint, beginning: bytes, limit: int
) -> tuple[SealForm, tuple[HeadEdit, ...]]:
    """Return how a request's form is sealed while it passes, and what is done in its head.

    Raises MessageError where its head says that it cannot be.
    """
    head = exchange.head
    refuse_present(head, blueprint, beginning)
    if head.query:
        _parts(blueprint).refuse_in_query(head.query)
    boundary = read_boundary(head.told.get(b"content-type", ()))
    binder = Binder(blueprint, exchange, b"", None)
    form = SealForm(blueprint, binder, boundary, limit, exchange.decision.overridable)
    return form, tuple(find_head_edits(blueprint, binder, head))


def _parts(blueprint: Blueprint) -> PartSelection:
    assert blueprint.parts is not None  # noqa: S101 - only such a block has a flow of parts
    return blueprint.parts


def _frame_length(flow: SealFlow, text: bytes, part: Part) -> int:
    """Return how long the frame will be; 0 where the part does not tell a length."""
    if part.length is None:
        return 0
    told = text[part.length.value : part.length.end]
    if not _LENGTH.fullmatch(told):
        raise InvalidBody("part-length")
    return flow.length(int(told)) or 0
