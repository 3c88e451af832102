"""The edits of a body taken whole: sealed or opened as one, or searched for tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .binding import Binder
from .blueprint import JOSE, Blueprint
from .carried import CarriedEdit
from .context import KIND_BODY
from .decoded import bind_token, decoded_token, token_or_none
from .edits import EmbeddedEdit, OpenEdit, SealEdit
from .errors import BodyTooLarge, InvalidBody, MissingValue, UnsupportedBody
from .finding_part_tokens import token_edits
from .formats import form, tokens
from .message import Head, MediaType, SocketHead, media_type
from .part_edits import PartEdit
from .rules import Item
from .selectors import Whole
from .token import CTY_MAX

BODY_TOKEN_MAX: Final = 64 * 1024

WholeEdit = SealEdit | OpenEdit | EmbeddedEdit | CarriedEdit | PartEdit


def whole_edits(
    blueprint: Blueprint, binder: Binder, head: Head, body: bytes
) -> Iterator[WholeEdit]:
    """Yield what the block does to a body as a whole; raise MessageError where it cannot."""
    for item, encrypt in ((blueprint.whole_encrypt, True), (blueprint.whole_decrypt, False)):
        if item is None:
            continue
        if item.selector is Whole.TOKENS:
            yield from _embedded(blueprint, binder, item, head, body)
        elif body:
            if encrypt:
                yield _seal_whole(binder, item, head, body)
            else:
                yield _open_whole(blueprint, binder, item, body)
        elif not item.optional and (encrypt or blueprint.direction == "request"):
            raise MissingValue("missing-body", detail=f"{item.field}: a body is needed.")


def _seal_whole(binder: Binder, item: Item, head: Head, body: bytes) -> SealEdit:
    if len(body) > BODY_TOKEN_MAX:
        raise BodyTooLarge("body-above-token", detail=f"At most {BODY_TOKEN_MAX} bytes are sealed.")
    media = media_type(head.told)
    if item.selector is Whole.TEXT:
        _require_text(body, media)
        sealed = token_or_none(body)
        return SealEdit(
            0, len(body), item, binder.whole_context(item), body, None, quoted=False, token=sealed
        )
    cty = sealable_type(media)
    sealed = token_or_none(body) if media is not None and media.essence == JOSE else None
    context = binder.whole_context(item, kind=KIND_BODY)
    return SealEdit(0, len(body), item, context, body, cty, quoted=False, token=sealed)


def sealable_type(media: MediaType | None) -> str | None:
    """Return a media type as it is sealed; raise UnsupportedBody where a token has no place."""
    if media is not None and (len(media.text) > CTY_MAX or {'"', "\\"} & set(media.text)):
        raise UnsupportedBody("content-type-not-sealable")
    return media.text if media is not None else None


def _open_whole(blueprint: Blueprint, binder: Binder, item: Item, body: bytes) -> OpenEdit:
    is_text = item.selector is Whole.TEXT
    kind = None if is_text else KIND_BODY
    token, context = bind_token(
        blueprint, decoded_token(body), lambda: binder.whole_context(item, kind=kind)
    )
    return OpenEdit(0, len(body), context, token, "text" if is_text else "body")


def _require_text(body: bytes, media: MediaType | None) -> None:
    if media is not None and not media.is_utf8:
        raise UnsupportedBody("charset")
    try:
        body.decode()
    except UnicodeDecodeError:
        raise InvalidBody("not-utf-8") from None


def _embedded(
    blueprint: Blueprint,
    binder: Binder,
    item: Item,
    head: Head,
    body: bytes,
) -> Iterable[WholeEdit]:
    limit = blueprint.block.max_tokens
    kind = blueprint.kind(media_type(head.told))
    if kind == "multipart":
        return token_edits(binder, item, head.told, body, limit)
    if kind == "form":
        carried = list(form.find_tokens(body, limit))
        context = binder.embedded_context(item) if carried else None
        return [
            CarriedEdit(EmbeddedEdit(one, context, one.token), form.encode, offset, places)
            for one, offset, places in carried
        ]
    in_text = kind in {"sse", "text"} or (kind == "json" and isinstance(head, SocketHead))
    find = tokens.find_in_text if in_text else tokens.find
    found = find(body, limit)
    context = binder.embedded_context(item) if found else None
    return [EmbeddedEdit(one, context, one.token) for one in found]
