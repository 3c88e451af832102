"""The rows of a body taken whole: sealed or opened as one, or searched for tokens.

A body becomes a token up to `BODY_TOKEN_BYTES`, and a sealed stream above, or where its message
declares no length. What is opened is what its Content-Type says.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from ..compiled.block import CompiledBlock
from ..compiled.message_match import JOSE
from ..crypto import sealed_stream
from ..crypto.context import KIND_BODY, KIND_STREAM, Context
from ..crypto.sealed_stream import StreamHead
from ..crypto.token import BASE64_MARK, CTY_BYTES, decoded_bytes, token_or_none
from ..errors import BodyTooLarge, InvalidBody, MissingValue, OpenFailed, UnsupportedBody
from ..expressions.selectors import Whole
from ..formats import embedded_tokens, token_places
from ..formats.escaping import Escape, Manner, Span, manner_of
from ..formats.json.body import JSON
from ..formats.json.closed import scalars
from ..formats.multipart import reader
from ..formats.multipart.reader import Part
from ..formats.records.sse import SSE, spell_line
from ..formats.table import kind_of
from ..formats.text import TEXT
from ..http.message import Head, HeadFacts, MediaType, SocketHead, media_type
from ..policy import BODY_TOKEN_BYTES
from ..rules.model import Item, Placed
from ..slices import paused
from ..values.hows import Open
from ..values.streams import OpenFrame, SealedBody, SealFrame
from ..values.table import InPart, lookup
from .binding import Binder


class _Text(NamedTuple):
    """A text of a part: where it lies, and how another would be spelled there."""

    start: int
    end: int
    spell: Callable[[bytes], bytes]
    part: Part | None
    manner: Manner


def _add_tokens(binder: Binder, item: Item, facts: HeadFacts, body: bytes) -> None:
    """Add a row for each token in the parts of a body with these headers.

    Raises InvalidBody for more of them than the block allows, and as `multipart.parts` does where
    there are any.
    """
    if not token_places.any_in(body):
        return
    context, limit = binder.embedded_context(item), binder.compiled.block.max_tokens
    boundary = reader.read_boundary(facts.get(b"content-type", ()))
    parts = reader.parts(body, boundary)
    for text in (one for part in parts for one in _texts(part, binder.compiled.escape)):
        limit -= _add_of(binder, item, text, body, context, limit)


class PartTokens:
    """Finds the tokens in the parts of a form that comes part by part, if its block opens any."""

    __slots__ = ("_escape", "_item", "_left")

    def __init__(self, compiled: CompiledBlock) -> None:
        """Begin before the first part."""
        item = compiled.whole_decrypt
        self._item = item if item is not None and item.selector is Whole.TOKENS else None
        self._escape = compiled.escape
        self._left = compiled.block.max_tokens

    def searches(self, part: Part) -> bool:
        """Return whether the content of a part is searched, so that all of it must be there."""
        texts = _texts(part, self._escape)
        return self._item is not None and any(one.part is not None for one in texts)

    def add(self, binder: Binder, part: Part, text: bytes, *, whole: bool) -> None:
        """Add a row for each token in a part that lies in `text`.

        Where it is not `whole`, it is one that is not searched but for its filename. Raises
        InvalidBody where all parts have more tokens than the block allows.
        """
        if self._item is None or not token_places.any_in(text[: part.end if whole else part.start]):
            return
        context = binder.embedded_context(self._item)
        for one in _texts(part, self._escape):
            self._left -= _add_of(binder, self._item, one, text, context, self._left)


def _add_of(  # noqa: PLR0913, PLR0917 - what a row is made of
    binder: Binder, item: Item, text: _Text, body: bytes, context: Context | None, limit: int
) -> int:
    """Add a row for each token of a text; return how many there are."""
    how = Open(binder.compiled.block, "text", item, spells=(text.spell,), lenient=True)
    found = embedded_tokens.find_in_text(body[text.start : text.end], limit, text.manner)
    for one in found:
        start, end = embedded_tokens.span_of(one)
        row = binder.values.add(how, context, text.start + start, text.start + end, one)
        if text.part is not None:
            binder.values.parts[row] = InPart(text.part, within=True)
    return len(found)


def _texts(part: Part, escape: Escape) -> Iterator[_Text]:
    found, media = part.filename, part.media
    if found is not None:
        yield _Text(found.start, found.end, found.spell, None, Manner(escape))
        if found.again is not None:
            yield _Text(*found.again, found.spell_again, None, Manner(escape))
    elif media is None or (media.is_utf8 and (part.is_text or media.is_json)):
        manner = Manner(escape) if media is None else manner_of(escape, media)
        yield _Text(part.start, part.end, _as_it_is, part, manner)


def _as_it_is(text: bytes) -> bytes:
    return text


def add_whole(
    binder: Binder, head: Head, body: bytes, *, measured: bool, rendered: tuple[Span, ...] = ()
) -> None:
    """Add what the block does to a body as a whole; raise MessageError where it cannot.

    `measured` says that the body is complete and its message declared its length; else `body`
    may be only as much of it as tells what it is. `rendered` are the places of JSON whose strings
    are HTML.
    """
    compiled = binder.compiled
    for item, encrypt in ((compiled.whole_encrypt, True), (compiled.whole_decrypt, False)):
        if item is None:
            continue
        if item.selector is Whole.TOKENS:
            _add_embedded(binder, item, head, body, rendered)
        elif body:
            if encrypt:
                _seal_whole(binder, item, head, body, measured=measured)
            else:
                _open_whole(binder, item, head, body)
        elif not item.optional and (encrypt or compiled.direction == "request"):
            raise MissingValue("missing-body", detail=f"{item.field}: a body is needed.")


def _seal_whole(binder: Binder, item: Item, head: Head, body: bytes, *, measured: bool) -> None:
    fits, size = len(body) <= BODY_TOKEN_BYTES, len(body)
    framed = item.framed and item.selector is Whole.BODY and not isinstance(head, SocketHead)
    if not fits and not framed:
        raise BodyTooLarge(
            "body-above-token",
            detail=f"A body of at most {BODY_TOKEN_BYTES} bytes can be sealed as one token.",
        )
    media = media_type(head.facts)
    if item.selector is Whole.TEXT:
        _require_text(binder.compiled, body, media)
        binder.seal(item, binder.whole_context(item), 0, size, body)
        return
    cty = sealable_type(media)
    if framed and not (fits and measured):
        context = binder.whole_context(item, kind=KIND_STREAM)
        already = _already(binder, item, media, body)
        binder.values.framing.append(SealFrame(item, context, cty or "", already))
        return
    context = binder.whole_context(item, kind=KIND_BODY)
    is_jose = media is not None and media.essence == JOSE
    binder.seal(item, context, 0, size, body, cty, looks=is_jose)


def sealable_type(media: MediaType | None) -> str | None:
    """Return a media type as it is sealed; raise UnsupportedBody where a token has no place."""
    if media is not None and (len(media.text) > CTY_BYTES or {'"', "\\"} & set(media.text)):
        raise UnsupportedBody("content-type-not-sealable")
    return media.text if media is not None else None


def _already(binder: Binder, item: Item, media: MediaType | None, body: bytes) -> SealedBody | None:
    """Return what opens a body that looks to be sealed already."""
    if _is_frame(media):
        head = _frame_head(body)
        if isinstance(head, StreamHead):
            context = binder.whole_context(item, kind=KIND_STREAM)
            return SealedBody(head.token, context, OpenFrame(head, context, None))
    elif media is not None and media.essence == JOSE:
        token = token_or_none(body)
        if token is not None:
            return SealedBody(token, binder.whole_context(item, kind=KIND_BODY), None)
    return None


def _open_whole(binder: Binder, item: Item, head: Head, body: bytes) -> None:
    compiled, is_text = binder.compiled, item.selector is Whole.TEXT
    if not is_text and (_is_frame(media_type(head.facts)) or body.startswith(sealed_stream.MAGIC)):
        binder.values.framing.append(_open_frame(binder, item, body))
        return
    kind: str | None = KIND_BODY
    how, found = Open(compiled.block, "body", item), lookup(body)
    if is_text:
        how, kind = Open(compiled.block, "text", item, compiled.whole_place), None
    elif body.startswith(BASE64_MARK):  # a field's value, decoded by the backend
        how, kind, found = Open(compiled.block, "bytes", item), None, decoded_bytes(body)
    binder.open(how, 0, len(body), found, lambda: binder.whole_context(item, kind=kind))


def _open_frame(binder: Binder, item: Item, body: bytes) -> OpenFrame:
    found = _frame_head(body)
    if isinstance(found, OpenFailed):
        return OpenFrame(found, Context(), item)
    token, context = binder.bound(found.token, lambda: binder.whole_context(item, kind=KIND_STREAM))
    return OpenFrame(token if isinstance(token, OpenFailed) else found, context, item)


def _is_frame(media: MediaType | None) -> bool:
    return media is not None and media.essence == sealed_stream.MEDIA_TYPE


def _frame_head(body: bytes) -> StreamHead | OpenFailed:
    """Return the head that a body begins with, or the error that reading it met."""
    try:
        return sealed_stream.read_head(body) or OpenFailed("malformed-frame")
    except OpenFailed as error:
        return error


def _require_text(compiled: CompiledBlock, body: bytes, media: MediaType | None) -> None:
    compiled.require_charset(media, body)
    try:
        body.decode()
    except UnicodeDecodeError:
        raise InvalidBody("not-utf-8") from None


_BEHIND_SELECTORS: Final = 1 << 32
"""Above the index of any selector."""


class ByPlace:
    """The contexts of tokens by their places: the last name is the field, an element has names."""

    __slots__ = ("_binder", "_found", "_item", "_known", "_starts")

    def __init__(self, binder: Binder, item: Item, body: bytes) -> None:
        """Read the places of a JSON text; what is none has no places."""
        self._binder = binder
        self._item = item
        self._known: dict[str, Placed] = {}
        try:
            found = scalars(body)
        except (InvalidBody, BodyTooLarge):
            found = []
        self._starts = [one.start for one in found]
        self._found = found

    def context(self, at: int) -> Context | None:
        """Return the context of a token that lies at a place of the text; None: it stays."""
        index = bisect_right(self._starts, at) - 1
        if index < 0 or at >= self._found[index].end:
            return None  # it is in the name of a member
        path = self._found[index].path
        field = self._binder.compiled.block.field_at(path)
        placed = self._known.get(field)
        if placed is None:
            item, number = replace(self._item, field=field), _BEHIND_SELECTORS + len(self._known)
            placed = Placed(number, item, self._binder.compiled.elements_shared)
            self._known[field] = placed
        return self._binder.token_context(placed, path)


def _add_embedded(
    binder: Binder, item: Item, head: Head, body: bytes, rendered: tuple[Span, ...]
) -> None:
    compiled, values = binder.compiled, binder.values
    limit, media = compiled.block.max_tokens, media_type(head.facts)
    read_as = compiled.body_format(media)
    if read_as is JSON and compiled.block.types and kind_of(media) != JSON.kind:
        read_as = TEXT  # the rule takes bodies of any type, such as pages
    if read_as.in_parts:
        _add_tokens(binder, item, head.facts, body)
        return
    if not isinstance(head, SocketHead):
        manner = read_as.manner(compiled.escape, media)
    else:
        manner = Manner(compiled.escape)
        read_as = TEXT if read_as is JSON else read_as  # no type says that a message is JSON
    found = list(read_as.tokens(body, limit, manner._replace(rendered=rendered)))
    placed_names = "field" in item.bind or compiled.elements
    by_place = ByPlace(binder, item, body) if found and placed_names else None
    context = binder.embedded_context(item) if found and by_place is None else None
    how = Open(compiled.block, "text", item, lenient=True)
    if read_as is TEXT and kind_of(media) == SSE.kind:
        how = how._replace(spells=(spell_line,))
    for placed in paused(found):
        start, end = embedded_tokens.span_of(placed.found)
        if by_place is not None:
            context = by_place.context(placed.start + placed.found.start)
        if placed.spell is None or placed.places is None:
            values.add(how, context, start, end, placed.found)
            continue
        start, end = placed.places[start], placed.places[end]
        spelled = how._replace(spells=(placed.spell,))
        values.add(spelled, context, placed.start + start, placed.start + end, placed.found)
