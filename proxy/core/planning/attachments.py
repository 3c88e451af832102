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
from ..crypto.token import decoded_token, token_or_none
from ..edits.edit_types import Edit
from ..edits.edits import TWIN, OpenEdit, SealEdit
from ..edits.wrapped import CarriedEdit, OwnEdit
from ..errors import ForbiddenValue, InvalidBody, MissingValue, OpenFailed
from ..formats.body_format import Packets, Record
from ..formats.json import FoundValue
from ..formats.records.socketio import attachment_number
from ..rules.model import Block, Placed
from .binding import Binder
from .exchange import Attachment, Exchange

CTY_BINARY: Final = "application/octet-stream"
"""What a sealed attachment says that it is: it opens in no place of texts."""
_ATTACHED: Final = "not-a-token"
"""Why such a value does not open in the packet itself."""


def open_attached(
    compiled: CompiledBlock, binder: Binder, placed: Placed, found: FoundValue, body: bytes
) -> OpenEdit:
    """Return the edit of a value that is to be opened, and is no text but maybe an attachment.

    It opens nothing in the packet. Raises MissingValue where a name that binds it is not there.
    """
    path, start, end, _ = found
    context, reason = Context(), TWIN
    if attachment_number(body[start:end]) is None:
        reason = _ATTACHED
    elif not binder.spoils(placed, path):
        try:
            context, reason = binder.context(placed, path), _ATTACHED
        except MissingValue as error:
            if not compiled.block.keep_unopened:
                raise
            reason = error.reason
    return OpenEdit(start, end, context, OpenFailed(reason), "json")


def apart(
    record: Record, edits: Sequence[Edit], block: Block
) -> tuple[list[Edit], list[Attachment | None]]:
    """Return the edits of the text of a record, and what is to be done to its attachments.

    Raises ForbiddenValue where two values that are to be sealed stand for the same attachment, or
    where one of them must be a string.
    """
    attached: list[Attachment | None] = [None] * record.attachments
    rest: list[Edit] = []
    for edit in edits:
        number = _number(record, edit)
        if number is None:
            rest.append(edit)
            continue
        inner, own = (edit.edit, edit.block) if type(edit) is OwnEdit else (edit, block)
        assert isinstance(inner, SealEdit | OpenEdit)  # noqa: S101 - no other has a number
        item = inner.item if type(inner) is SealEdit else None
        if item is not None and item.min_chars is not None:
            raise ForbiddenValue(
                "binary-placeholder", detail=f"{item.field}: a string is needed, not binary."
            )
        if attached[number] is None:
            attached[number] = Attachment(inner.context, own, item)
        elif item is not None:
            raise ForbiddenValue(
                "attachment-selected-twice",
                detail="Two selected values are the same attachment.",
            )
    return rest, attached


def attachment_edits(
    exchange: Exchange,
    compiled: CompiledBlock,
    packets: Packets,
    body: bytes,
    announced: Sequence[Attachment | None],
) -> list[Edit]:
    """Return the edits of all attachments in a body of packets; tell the exchange what is to come.

    `announced` are those announced before and in this body, in order. Raises InvalidBody for a
    selected one that is not Base64 (RFC 4648 section 4).
    """
    edits: list[Edit] = []
    count = 0
    for count, (start, end) in enumerate(packets.attachments(body), 1):
        attachment = announced[count - 1]
        if attachment is None:
            continue
        try:
            data = binascii.a2b_base64(body[start:end], strict_mode=True)
        except binascii.Error:
            raise InvalidBody("attachment-not-base64") from None
        own = attachment_edit(attachment, data, start, end)
        edits.append(OwnEdit(CarriedEdit(own.edit, base64.b64encode), own.block))
    exchange.announced[compiled.direction] = tuple(announced[count:])
    return edits


def attachment_edit(attachment: Attachment, data: bytes, start: int, end: int) -> OwnEdit:
    """Return the edit of an attachment whose bytes are `data`, in place of what lies there."""
    context, block, item = attachment
    edit: SealEdit | OpenEdit
    if item is None:
        edit = OpenEdit(start, end, context, decoded_token(data), "body")
    else:
        token = token_or_none(data)
        edit = SealEdit(start, end, item, context, data, CTY_BINARY, token=token, quoted=False)
    return OwnEdit(edit, block)


def _number(record: Record, edit: Edit) -> int | None:
    """Return the number of the attachment that the value of an edit stands for, or None."""
    inner = edit.edit if type(edit) is OwnEdit else edit
    if type(inner) is OpenEdit:
        token = inner.token
        if not isinstance(token, OpenFailed) or token.reason != _ATTACHED:
            return None
    elif type(inner) is not SealEdit:
        return None
    return record.attachment(inner.start, inner.end)
