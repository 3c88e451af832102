"""Binary attachments of packets: values that are sent behind the packet that announces them.

In the packet, such a value is an object that names the attachment by its number. A selector that
finds this object selects the attachment. It is sealed as the value would be: for the same context,
as a token, which takes the place of its bytes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from ..compiled.block import CompiledBlock
from ..crypto.context import Context
from ..errors import ForbiddenValue, InvalidBody, MissingValue, OpenFailed, UnlistedName
from ..formats.body_format import Packets, Record
from ..formats.json import FoundValue
from ..formats.records.socketio import attachment_number
from ..rules.model import Placed
from ..values.hows import Open, Seal, Spell
from ..values.outcomes import TWIN
from ..values.table import Values, lookup
from .binding import Binder
from .exchange import Attachment, Exchange

CTY_BINARY: Final = "application/octet-stream"
"""What a sealed attachment says that it is: it opens in no place of texts."""
_ATTACHED: Final = "not-a-token"
"""Why such a value does not open in the packet itself."""


def open_attached(binder: Binder, placed: Placed, found: FoundValue, body: bytes) -> None:
    """Add the row of a value that is to be opened, and is no text but maybe an attachment.

    It opens nothing in the packet. Raises MissingValue where a name that binds it is not there.
    """
    path, start, end, _ = found
    block = binder.compiled.block
    context, reason = Context(), TWIN
    if attachment_number(body[start:end]) is None:
        reason = _ATTACHED
    elif not binder.spoils(placed, path):
        try:
            context, reason = binder.context(placed, path), _ATTACHED
        except MissingValue as error:
            if not block.keep_unopened:
                raise
            reason = error.reason
    binder.values.add(Open(block, "json", placed.item), context, start, end, OpenFailed(reason))


def apart(
    record: Record, values: Values, taker: CompiledBlock | None
) -> tuple[list[int], list[Attachment | None]]:
    """Return the rows of the text of a record, and what is to be done to its attachments.

    Raises ForbiddenValue where two values that are to be sealed stand for the same attachment, or
    where one of them must be a string; UnlistedName for one that would pass, if the block that
    takes the record is closed: nothing lists it, and its bytes are in no text that could be.
    """
    attached: list[Attachment | None] = [None] * record.attachments
    rest: list[int] = []
    for row in range(len(values)):
        number = _number(record, values, row)
        if number is None:
            rest.append(row)
            continue
        how, context = values.hows[row], values.contexts[row]
        assert context is not None  # noqa: S101 - what stands for an attachment is bound
        item, seals = how.item, type(how) is Seal
        assert item is not None  # noqa: S101 - every selected value has one
        if seals and item.min_chars is not None:
            raise ForbiddenValue(
                "binary-placeholder", detail=f"{item.field}: a string is needed, not binary."
            )
        if attached[number] is None:
            attached[number] = Attachment(context, how.block, item, seals)
        elif seals:
            raise ForbiddenValue(
                "attachment-selected-twice",
                detail="Two selected values are the same attachment.",
            )
    if taker is not None and taker.closed is not None and None in attached:
        unlisted = UnlistedName("unlisted-name", detail="The rule does not list an attachment.")
        if taker.block.permissive_until is None:
            raise unlisted
        values.unlisted = values.unlisted or (unlisted, taker.block)
    return rest, attached


def add_attachments(  # noqa: PLR0913, PLR0917 - the message and what is known of it
    values: Values,
    exchange: Exchange,
    compiled: CompiledBlock,
    packets: Packets,
    body: bytes,
    announced: Sequence[Attachment | None],
) -> None:
    """Add the rows of all attachments in a body of packets; tell the exchange what is to come.

    `announced` are those announced before and in this body, in order. Raises InvalidBody for a
    selected one that is not Base64 (RFC 4648 section 4).
    """
    count = 0
    for count, (start, end) in enumerate(packets.attachments(body), 1):
        attachment = announced[count - 1]
        if attachment is None:
            continue
        try:
            data = binascii.a2b_base64(body[start:end], strict_mode=True)
        except binascii.Error:
            raise InvalidBody("attachment-not-base64") from None
        add_attachment(values, attachment, data, start, end, (base64.b64encode,))
    exchange.announced[compiled.direction] = tuple(announced[count:])


def add_attachment(  # noqa: PLR0913, PLR0917 - what a row is made of
    values: Values,
    attachment: Attachment,
    data: bytes,
    start: int,
    end: int,
    spells: tuple[Spell, ...] = (),
) -> None:
    """Add the row of an attachment whose bytes are `data`, in place of what lies there."""
    context, block, item, seals = attachment
    if not seals:
        how = Open(block, "body", item, spells=spells)
        values.add(how, context, start, end, lookup(data))
        return
    row = values.add(Seal(item, block, spells=spells), context, start, end, data, CTY_BINARY)
    values.compare(row, data)


def _number(record: Record, values: Values, row: int) -> int | None:
    """Return the number of the attachment that a value stands for, or None."""
    if row in values.wholes:
        return None
    start, end, how = values.starts[row], values.ends[row], values.hows[row]
    if type(how) is Seal:
        shift = int(how.between)
        return record.attachment(start - shift, end + shift)
    what = values.what[row]
    if not isinstance(what, OpenFailed) or what.reason != _ATTACHED:
        return None
    return record.attachment(start, end)
