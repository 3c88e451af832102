"""From a message and a block to edits: what is selected, what it is bound to, what must not be."""

from __future__ import annotations

from collections.abc import Callable

from .binding import Binder
from .blueprint import Blueprint, Placed
from .carried import CarriedEdit
from .context import Context, Scope
from .decoded import bind_token, decoded_token, token_or_none
from .edits import EmbeddedEdit, OpenEdit, SealEdit
from .errors import (
    BodyTooLarge,
    ForbiddenValue,
    MissingValue,
    OpenFailed,
    UnsupportedBody,
)
from .exchange import Exchange, has_query_parameter
from .finding_in_head import HeadEdit, find_head_edits
from .finding_whole import whole_edits
from .formats import form, records
from .formats import json as json_format
from .formats.json import Findings, Found
from .formats.json.walk import SELECTED_MAX
from .formats.kinds import RECORDS, Kind
from .message import (
    RequestHead,
    ResponseHead,
    header_values,
    media_type,
)
from .needs import Needs
from .rules import Item
from .selectors import NamedSelector, Whole
from .sources import JsonSource
from .token import CTY_JSON, KeyId, Token

Edit = SealEdit | OpenEdit | EmbeddedEdit | CarriedEdit | HeadEdit


def find_edits(
    exchange: Exchange,
    blueprint: Blueprint,
    head: RequestHead | ResponseHead,
    body: bytes,
) -> tuple[Edit, ...]:
    """Return what the block does to the message, unsorted; raise MessageError where it cannot."""
    if blueprint.block.absent:
        refuse_present(exchange, blueprint, body)
    query = exchange.head.query
    if blueprint.form is not None and blueprint.direction == "request" and query:
        blueprint.form.refuse_in_query(query)
    kind = blueprint.kind(media_type(head.told)) if blueprint.reads and body else None
    if kind in RECORDS:
        edits = _record_edits(exchange, blueprint, head, body, kind)
        binder = Binder(blueprint, exchange, b"", None)  # no record's names are those of the head
    else:
        binder, edits = _text_edits(exchange, blueprint, head, body)
    if blueprint.in_head:
        edits += find_head_edits(blueprint, binder, exchange.head)
    return tuple(edits)


def _text_edits(
    exchange: Exchange, blueprint: Blueprint, head: RequestHead | ResponseHead, body: bytes
) -> tuple[Binder, list[Edit]]:
    """Return the edits of a body, or of one record, and who binds its values."""
    findings = _walk(blueprint, head, body)
    binder = Binder(blueprint, exchange, body, findings)
    if blueprint.keeps:
        binder.keep_facts()
    edits = _selected_edits(blueprint, binder, findings, body)
    if blueprint.takes_whole:
        edits += whole_edits(blueprint, binder, head, body)
    return binder, edits


def _record_edits(
    exchange: Exchange,
    blueprint: Blueprint,
    head: RequestHead | ResponseHead,
    body: bytes,
    kind: Kind,
) -> list[Edit]:
    """Return the edits of every record, each with names and values of its own.

    Of names that are kept for the answer, only those stay in which all records agree.
    """
    spell = records.on_one_line if kind == "ndjson" else records.as_it_is
    edits: list[Edit] = []
    kept: list[dict[JsonSource, str | None]] = []
    for start, end in records.find(body, kind):
        found = _text_edits(exchange, blueprint, head, body[start:end])[1]
        edits += (_moved(one, start, spell) for one in found)
        kept.append({source: exchange.facts[source] for source in blueprint.keeps})
        if len(edits) > _most_edits(blueprint):
            raise BodyTooLarge("too-many-selected-values")
    if not kept:
        _refuse_missing(blueprint, None)
    for source in blueprint.keeps:
        texts = {facts[source] for facts in kept}
        exchange.facts[source] = texts.pop() if len(texts) == 1 else None
    return edits


def _most_edits(blueprint: Blueprint) -> int:
    return SELECTED_MAX + (blueprint.block.max_tokens if blueprint.takes_whole else 0)


def _moved(edit: Edit, offset: int, spell: Callable[[bytes], bytes]) -> Edit:
    """Return an edit of a record as one of the body."""
    if type(edit) is SealEdit:
        return edit._replace(start=edit.start + offset, end=edit.end + offset)
    assert isinstance(edit, OpenEdit | EmbeddedEdit)  # noqa: S101 - nothing else is in JSON
    return CarriedEdit(edit, spell, offset)


def needs_of(edits: tuple[Edit, ...]) -> Needs:
    """Return the sessions that edits need."""
    seals: dict[Scope, int] = {}
    opens: set[tuple[Scope, KeyId]] = set()
    for edit in edits:
        context, token = edit.context, edit.token
        if context is None:
            continue
        if type(edit.edit if type(edit) is HeadEdit else edit) is SealEdit:
            seals[context.scope] = seals.get(context.scope, 0) + 1
        if type(token) is Token:
            opens.add((context.scope, token.key_id))
    return Needs(seals, frozenset(opens))


def refuse_present(exchange: Exchange, blueprint: Blueprint, body: bytes) -> None:
    """Raise ForbiddenValue where a head or body has what the block says must be absent."""
    for selector in blueprint.block.absent:
        if selector is Whole.BODY and body:
            raise ForbiddenValue("body-present", detail="The rule allows no body here.")
        if (
            isinstance(selector, NamedSelector)
            and selector.of_head
            and _named_present(exchange, selector)
        ):
            raise ForbiddenValue(
                f"{selector.place}-present",
                detail=f"The rule forbids {selector.place}:{selector.name}.",
            )


def _named_present(exchange: Exchange, selector: NamedSelector) -> bool:
    if selector.place == "query":
        return has_query_parameter(exchange.head, selector.name)
    return bool(header_values(exchange.head.headers, selector.name.encode()))


def _walk(blueprint: Blueprint, head: RequestHead | ResponseHead, body: bytes) -> Findings | None:
    """Return what the block's selectors find; None where the body is none that they read."""
    selection = blueprint.selection or blueprint.form
    if selection is None or not body:
        return None
    media = media_type(head.told)
    if not blueprint.reads and not (media is not None and media.is_json):
        return None  # only names of the rule would be read from it
    if media is not None and not media.is_utf8:
        raise UnsupportedBody("charset")
    findings = selection.find(body)
    if findings.variants and findings.variants & blueprint.variants_checked:
        # Go's encoding/json, .NET and Jackson can be told to read `Content` as `content`.
        raise ForbiddenValue(
            "case-variant", detail="A selected member stands there in another case."
        )
    return findings


def _selected_edits(
    blueprint: Blueprint, binder: Binder, findings: Findings | None, body: bytes
) -> list[Edit]:
    if findings is None or findings.missing:
        _refuse_missing(blueprint, findings)
    edits: list[Edit] = []
    if findings is None:
        return edits
    for index, selector in blueprint.absent:
        if findings.found[index]:
            raise ForbiddenValue("value-present", detail=f"The rule forbids {selector.text}.")
    seal, token_of, opened = (
        (_seal_json, _token_of_json, _open_json)
        if blueprint.form is None
        else (_seal_pair, _token_of_pair, _open_pair)
    )
    for placed in blueprint.encrypt:
        for path, start, end in findings.found[placed.index]:
            context = binder.context(placed, path)
            edits.append(seal(placed.item, context, body[start:end], start, end))
    for placed in blueprint.decrypt:
        for one in findings.found[placed.index]:
            token = token_of(body[one.start : one.end])
            edits.append(opened(blueprint, binder, placed, one, token))
    return edits


def _refuse_missing(blueprint: Blueprint, findings: Findings | None) -> None:
    checked: tuple[Placed, ...] = blueprint.encrypt
    if blueprint.direction == "request":
        checked += blueprint.decrypt
    for placed in checked:
        missing = findings is None or placed.index in findings.missing
        if missing and not placed.item.optional:
            raise MissingValue("missing-value", detail=f"{placed.item.field}: a value is needed.")


def _seal_json(item: Item, context: Context, raw: bytes, start: int, end: int) -> SealEdit:
    if not raw.startswith(b'"'):
        return SealEdit(start, end, item, context, raw, CTY_JSON, quoted=True)
    text = raw[1:-1] if b"\\" not in raw else json_format.unescape(raw).encode()
    return SealEdit(start, end, item, context, text, None, quoted=True, token=token_or_none(text))


def _open_json(
    blueprint: Blueprint, binder: Binder, placed: Placed, found: Found, token: Token | OpenFailed
) -> OpenEdit:
    path, start, end = found
    bound, context = bind_token(blueprint, token, lambda: binder.context(placed, path))
    return OpenEdit(start, end, context, bound, "json")


def _seal_pair(item: Item, context: Context, raw: bytes, start: int, end: int) -> SealEdit:
    text = form.decode(raw)
    token = token_or_none(text)
    return SealEdit(start, end, item, context, text, None, quoted=False, token=token)


def _open_pair(
    blueprint: Blueprint, binder: Binder, placed: Placed, found: Found, token: Token | OpenFailed
) -> CarriedEdit:
    path, start, end = found
    bound, context = bind_token(blueprint, token, lambda: binder.context(placed, path))
    return CarriedEdit(OpenEdit(start, end, context, bound, "value"), form.encode)


def _token_of_json(raw: bytes) -> Token | OpenFailed:
    if not raw.startswith(b'"'):
        return OpenFailed("not-a-token")
    return decoded_token(raw[1:-1] if b"\\" not in raw else json_format.unescape(raw).encode())


def _token_of_pair(raw: bytes) -> Token | OpenFailed:
    return decoded_token(form.decode(raw))
