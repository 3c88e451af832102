"""Plan and apply: the two pure functions that change a message, with one key look-up between them.

A plan finds the spans to change and says which keys that needs; `apply` splices. Only here are
Forwardables made, so whatever leaves Sealyard has passed the rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from .binding import Binder
from .blueprint import JOSE, Blueprint, Placed
from .context import KIND_BODY, Context, Scope
from .edits import Change, Edit, EmbeddedEdit, Fate, OpenEdit, SealEdit
from .errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    MissingValue,
    OpenFailed,
    UnsupportedBody,
)
from .exchange import Exchange, has_query_parameter
from .formats import json as json_format
from .formats import tokens
from .formats.json import Findings, Found
from .forwardable import Forwardable, mint
from .message import (
    Headers,
    MediaType,
    RequestHead,
    ResponseHead,
    header_values,
    parse_media_type,
)
from .needs import Keys, Needs
from .rulebook import Blueprints
from .rules import Item
from .selectors import NamedSelector, Whole
from .session import Session
from .token import CTY_JSON, CTY_MAX, KeyId, Token, decode, has_prefix

BODY_TOKEN_MAX: Final = 64 * 1024


class Plan(NamedTuple):
    """What will be done to one message: its edits, and the keys that they need."""

    head: RequestHead | ResponseHead
    body: bytes
    blueprint: Blueprint | None
    edits: tuple[Edit, ...]
    needs: Needs
    ruled: bool


class Applied(NamedTuple):
    """A message that may be forwarded, how many values met which fate, and who opened them.

    `proven` are the sessions with which a tag has verified, worth keeping in a cache.
    """

    forwardable: Forwardable
    counts: Mapping[Fate, int]
    proven: tuple[Session, ...]


def pass_request(exchange: Exchange) -> Forwardable:
    """Return the request to be forwarded with its body unread: its rule has no block for it."""
    if exchange.decision.reads_request:
        message = "a request that a rule reads cannot pass unread"
        raise TypeError(message)
    return mint(exchange.head, ruled=exchange.decision.may_read_response)


def pass_response(exchange: Exchange, head: ResponseHead, *, bodiless: bool) -> Forwardable:
    """Return a response to be relayed with its body unread.

    `bodiless` says that the response has no body by HTTP's own rules (HEAD, 204, 304); any other
    must not fit a block.
    """
    if not bodiless and choose_response(exchange, head) is not None:
        message = "a response that a rule reads cannot pass unread"
        raise TypeError(message)
    return mint(head, ruled=bodiless and exchange.decision.may_read_response)


def choose_response(exchange: Exchange, head: ResponseHead) -> Blueprint | None:
    """Return the block that takes a response, or None where it passes as it is.

    Raises UnsupportedBody where a block that encrypts cannot read it.
    """
    compiled = exchange.decision.compiled
    if compiled is None or not compiled.response:
        return None
    blueprint = _fitting(compiled.response, media_type(head.headers), head.status)
    if blueprint is not None:
        _refuse_coded(head.headers)
        return blueprint
    for one in compiled.response:
        if one.block.encrypt and one.fits_status(head.status):
            raise UnsupportedBody("response-fits-no-block")
    return None


def plan_request(exchange: Exchange, body: bytes) -> Plan:
    """Return what the rule does to a request. Raises MessageError where it cannot be done."""
    compiled = exchange.decision.compiled
    if compiled is None or not compiled.request:
        message = "a request that no rule reads has no plan"
        raise TypeError(message)
    head = exchange.head
    if body:
        _refuse_coded(head.headers)
        blueprint = _fitting(compiled.request, media_type(head.headers), None)
        if blueprint is None:
            raise UnsupportedBody("request-fits-no-block")
    else:
        blueprint = compiled.request[0]
    return _plan(exchange, blueprint, head, body)


def plan_response(
    exchange: Exchange, blueprint: Blueprint, head: ResponseHead, body: bytes
) -> Plan:
    """Return what a block that `choose_response` gave does to a response."""
    return _plan(exchange, blueprint, head, body)


def apply(plan: Plan, keys: Keys, now: float) -> Applied:
    """Return the message with every edit carried out; no other byte differs.

    `now` is in seconds since 1970. Raises MessageError, and then nothing may be forwarded.
    """
    block = plan.blueprint.block if plan.blueprint else None
    counts: dict[Fate, int] = {}
    proven: list[Session] = []
    changes: list[Change] = []
    for edit in plan.edits:
        assert block is not None  # noqa: S101 - only a blueprint makes edits
        change = edit.carry_out(keys, block, now)
        counts[change.fate] = counts.get(change.fate, 0) + 1
        if change.session is not None:
            proven.append(change.session)
        if change.text is not None:
            changes.append(change)
    changed = bool(changes)
    forwardable = mint(
        plan.head,
        splice(plan.body, changes) if changed else plan.body,
        changed=changed,
        ruled=plan.ruled,
        media_type=_new_media_type(plan) if changed else None,
        marks=_marks(plan, counts),
    )
    return Applied(forwardable, counts, tuple(proven))


def splice(body: bytes, changes: list[Change]) -> bytes:
    """Return `body` with each span replaced; raise InvalidBody where two spans overlap."""
    if len(changes) == 1:
        only = changes[0]
        return b"%b%b%b" % (body[: only.start], only.text or b"", body[only.end :])
    pieces: list[bytes] = []
    at = 0
    for change in sorted(changes, key=lambda one: one.start):
        if change.start < at:
            raise InvalidBody("spans-overlap")
        pieces += (body[at : change.start], change.text or b"")
        at = change.end
    pieces.append(body[at:])
    return b"".join(pieces)


def media_type(headers: Headers) -> MediaType | None:
    """Return the media type of a message, or None where it names none.

    Raises AmbiguousRequest where Content-Type stands twice, UnsupportedBody where it is malformed.
    """
    values = header_values(headers, b"content-type")
    if not values:
        return None
    if len(values) > 1:
        raise UnsupportedBody("content-type-stands-twice")
    parsed = parse_media_type(values[0])
    if parsed is None:
        raise UnsupportedBody("content-type-malformed")
    return parsed


def _fitting(
    blueprints: Blueprints, media: MediaType | None, status: int | None
) -> Blueprint | None:
    return next((one for one in blueprints if one.fits(media, status)), None)


def _refuse_coded(headers: Headers) -> None:
    for value in header_values(headers, b"content-encoding"):
        if value.strip().lower() not in {b"", b"identity"}:
            raise UnsupportedBody("content-encoding")


def _plan(
    exchange: Exchange,
    blueprint: Blueprint,
    head: RequestHead | ResponseHead,
    body: bytes,
) -> Plan:
    _refuse_present(exchange, blueprint, body)
    findings = _walk(blueprint, head, body)
    binder = Binder(blueprint, exchange, body, findings)
    if blueprint.keeps:
        binder.keep_facts()
    edits = (
        *_json_edits(blueprint, binder, findings, body),
        *_whole_edits(blueprint, binder, head, body),
    )
    return Plan(head, body, blueprint, edits, _needs(edits), exchange.decision.may_read_response)


def _walk(blueprint: Blueprint, head: RequestHead | ResponseHead, body: bytes) -> Findings | None:
    """Return what the block's JSON selectors find; None where the body is no JSON for it."""
    if blueprint.selection is None or not body:
        return None
    media = media_type(head.headers)
    if not blueprint.reads_json and not (media is not None and media.is_json):
        return None  # only names of the rule would be read from it
    if media is not None and not media.is_utf8:
        raise UnsupportedBody("charset")
    findings = blueprint.selection.find(body)
    if findings.variants and findings.variants & blueprint.variants_checked:
        # Go's encoding/json, .NET and Jackson can be told to read `Content` as `content`.
        raise ForbiddenValue(
            "case-variant", detail="A selected member stands there in another case."
        )
    return findings


def _refuse_present(exchange: Exchange, blueprint: Blueprint, body: bytes) -> None:
    for selector in blueprint.block.absent:
        if selector is Whole.BODY and body:
            raise ForbiddenValue("body-present", detail="The rule allows no body here.")
        if isinstance(selector, NamedSelector) and _named_present(exchange, selector):
            raise ForbiddenValue(
                f"{selector.place}-present",
                detail=f"The rule forbids {selector.place}:{selector.name}.",
            )


def _named_present(exchange: Exchange, selector: NamedSelector) -> bool:
    if selector.place == "query":
        return has_query_parameter(exchange.head, selector.name)
    return bool(header_values(exchange.head.headers, selector.name.encode()))


def _json_edits(
    blueprint: Blueprint, binder: Binder, findings: Findings | None, body: bytes
) -> Iterator[Edit]:
    _refuse_missing(blueprint, findings)
    if findings is None:
        return
    for index, selector in blueprint.absent:
        if findings.found[index]:
            raise ForbiddenValue("value-present", detail=f"The rule forbids {selector.text}.")
    for placed in blueprint.encrypt:
        for one in findings.found[placed.index]:
            context = binder.context(placed, one.path)
            yield _seal_json(placed.item, context, body[one.start : one.end], one.start, one.end)
    for placed in blueprint.decrypt:
        for one in findings.found[placed.index]:
            token = _token_of_json(body[one.start : one.end])
            yield _open_json(blueprint, binder, placed, one, token)


def _open_json(
    blueprint: Blueprint, binder: Binder, placed: Placed, found: Found, token: Token | OpenFailed
) -> OpenEdit:
    context = Context()
    if isinstance(token, Token):  # only a token needs the names that bind it
        try:
            context = binder.context(placed, found.path)
        except MissingValue as error:
            if not blueprint.block.keep_unopened:
                raise
            token = OpenFailed(error.reason)
    return OpenEdit(found.start, found.end, context, token, "json")


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
    return SealEdit(start, end, item, context, text, None, quoted=True, sealed=_token_or_none(text))


def _token_of_json(raw: bytes) -> Token | OpenFailed:
    if not raw.startswith(b'"'):
        return OpenFailed("not-a-token")
    return _token(raw[1:-1] if b"\\" not in raw else json_format.unescape(raw).encode())


def _token(text: bytes) -> Token | OpenFailed:
    try:
        return decode(text)
    except OpenFailed as error:
        return error


def _token_or_none(text: bytes) -> Token | None:
    if not has_prefix(text):
        return None
    token = _token(text)
    return token if isinstance(token, Token) else None


def _whole_edits(
    blueprint: Blueprint, binder: Binder, head: RequestHead | ResponseHead, body: bytes
) -> Iterator[Edit]:
    for item, encrypt in ((blueprint.whole_encrypt, True), (blueprint.whole_decrypt, False)):
        if item is None:
            continue
        if item.selector is Whole.TOKENS:
            yield from _embedded(blueprint, binder, item, body)
        elif body:
            yield (
                _seal_whole(binder, item, head, body)
                if encrypt
                else _open_whole(binder, item, body)
            )
        elif not item.optional and (encrypt or blueprint.direction == "request"):
            raise MissingValue("missing-body", detail=f"{item.field}: a body is needed.")


def _seal_whole(
    binder: Binder, item: Item, head: RequestHead | ResponseHead, body: bytes
) -> SealEdit:
    if len(body) > BODY_TOKEN_MAX:
        raise BodyTooLarge("body-above-token", detail=f"At most {BODY_TOKEN_MAX} bytes are sealed.")
    media = media_type(head.headers)
    if item.selector is Whole.TEXT:
        _require_text(body, media)
        sealed = _token_or_none(body)
        return SealEdit(
            0, len(body), item, binder.whole_context(item), body, None, quoted=False, sealed=sealed
        )
    if media is not None and (len(media.text) > CTY_MAX or {'"', "\\"} & set(media.text)):
        raise UnsupportedBody("content-type-not-sealable")
    cty = media.text if media is not None else None
    sealed = _token_or_none(body) if media is not None and media.essence == JOSE else None
    context = binder.whole_context(item, kind=KIND_BODY)
    return SealEdit(0, len(body), item, context, body, cty, quoted=False, sealed=sealed)


def _open_whole(binder: Binder, item: Item, body: bytes) -> OpenEdit:
    if item.selector is Whole.TEXT:
        return OpenEdit(0, len(body), binder.whole_context(item), _token(body), "text")
    return OpenEdit(0, len(body), binder.whole_context(item, kind=KIND_BODY), _token(body), "body")


def _require_text(body: bytes, media: MediaType | None) -> None:
    if media is not None and not media.is_utf8:
        raise UnsupportedBody("charset")
    try:
        body.decode()
    except UnicodeDecodeError:
        raise InvalidBody("not-utf-8") from None


def _embedded(blueprint: Blueprint, binder: Binder, item: Item, body: bytes) -> Iterator[Edit]:
    found = tokens.find(body)
    if len(found) > blueprint.block.max_tokens:
        raise InvalidBody("too-many-tokens")
    if found:
        context = binder.whole_context(item)
        for one in found:
            yield EmbeddedEdit(one, context)


def _needs(edits: tuple[Edit, ...]) -> Needs:
    seals: dict[Scope, int] = {}
    opens: set[tuple[Scope, KeyId]] = set()
    for edit in edits:
        scope = edit.context.scope
        if isinstance(edit, SealEdit):
            seals[scope] = seals.get(scope, 0) + 1
            token: Token | OpenFailed | None = edit.sealed
        else:
            token = edit.token if isinstance(edit, OpenEdit) else edit.found.token
        if isinstance(token, Token):
            opens.add((scope, token.key_id))
    return Needs(seals, frozenset(opens))


def _new_media_type(plan: Plan) -> str | None:
    """Return the new Content-Type: JOSE once sealed whole, the old one once opened whole."""
    for edit in plan.edits:
        if isinstance(edit, SealEdit) and edit.item.selector is Whole.BODY:
            return JOSE
        if isinstance(edit, OpenEdit) and edit.shape == "body" and isinstance(edit.token, Token):
            return edit.token.cty or ""
    return None


def _marks(plan: Plan, counts: Mapping[Fate, int]) -> Headers:
    """Return the headers that tell a client what was left as it was."""
    if not isinstance(plan.head, ResponseHead):
        return ()
    marks = (
        (b"Sealyard-Kept", counts.get("kept", 0)),
        (b"Sealyard-Plain", counts.get("plain", 0)),
    )
    return tuple((name, str(count).encode()) for name, count in marks if count)
