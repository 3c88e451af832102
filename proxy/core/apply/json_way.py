"""The way of plain JSON: its values found, sealed and opened without a plan.

What is found is what a walk finds; every value is checked as its edit would check it. Whatever is
not certain is left to the general way, from its beginning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, cast

from ..compiled.block import CompiledBlock
from ..compiled.plain_json import Bound, Places, PlainJson, name_of
from ..crypto.context import Context
from ..crypto.joined_names import Name
from ..crypto.session_cipher import Session
from ..crypto.token import CTY_JSON, Token, decoded_token, has_prefix
from ..edits.edits import Outcome, as_json, expiry, require_text
from ..edits.key_needs import Keys, Needs
from ..errors import OpenFailed, SealyardError
from ..expressions.sources import JsonSource, NameSource
from ..formats.json.body import JSON
from ..formats.json.selection import Selection
from ..http.message import Headers, RequestHead, ResponseHead
from ..planning.exchange import Exchange, Kept
from ..rules.model import Item
from .added_headers import added_to_request, added_to_response
from .forwardable import Changed, Frame, mint_changed

_NO_SESSIONS: Final = Keys({}, {})
_Proven = dict[Session, int]


class WarmKeys(Protocol):
    """Where the sessions of messages come from, if they are at hand."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        """Return the sessions if they are cached, and count them as used."""

    def remember(self, sessions: Mapping[Session, int]) -> None:
        """Keep sessions under which so many tags have verified."""


class JsonWay:
    """The way of plain JSON under one head."""

    __slots__ = (
        "_compare",
        "_frames",
        "_head",
        "_json",
        "_keys",
        "_names",
        "_reads",
        "_ruled",
        "_varies",
    )

    def __init__(
        self,
        exchange: Exchange,
        compiled: CompiledBlock,
        head: RequestHead | ResponseHead,
        keys: WarmKeys,
    ) -> None:
        """Read the names that lie outside of bodies; raise MessageError as the exchange does.

        Raises KeyError where a name is missing there.
        """
        assert compiled.plain_json is not None  # noqa: S101 - whoever makes a way has looked
        json = compiled.plain_json
        self._json: PlainJson = json
        self._keys = keys
        self._head = head
        self._ruled = exchange.decision.may_read_response
        self._varies = exchange.decision.varies
        self._frames: dict[tuple[bool, bool], Frame] = {}
        self._names, self._reads = _read_names(exchange, json)
        self._compare = _comparison(exchange, compiled, head)

    def change(self, body: bytes, now: float, kept: Kept = ()) -> Changed | None:
        """Return the message with this body changed, or None where the general way must tell.

        `kept` are the names of the request's body, `now` is in seconds since 1970.
        """
        json = self._json
        found = json.finder.find(body)
        if found is None or found[0] & json.required:
            return None
        places = found[1]
        names = self._names.copy()
        leaves: list[Name | None] = []
        for index, into, at, leave in self._reads:
            name: Name | None
            if index is None:
                name = kept[at]
            else:
                name = _name_at(body, places[index])
                if leave:
                    leaves.append(name)
            if into is not None:
                if type(name) is not str:
                    return None
                names[into] = name
            if name is not None and not name:
                return None
        bound = json.bound(tuple(names))
        if bound is None or (self._compare is not None and self._compare(body)):
            return None
        try:
            return self._carried_out(body, places, bound, now, tuple(leaves))
        except SealyardError:
            return None

    def _carried_out(
        self, body: bytes, places: Places, bound: Bound, now: float, kept: Kept
    ) -> Changed | None:
        strides = self._json.strides
        sealed = _to_seal(body, places, strides, bound)
        if sealed is None or (self._json.at_will and not sealed):
            return None
        opened = _to_open(body, places, strides, bound) if bound.opens else []
        if opened is None:
            return None
        keys = self._resolved(bound, sealed, opened)
        if keys is None:
            return None
        done = _opened(opened, keys, now)
        if done is None:
            return None
        spans, proven = done
        if sealed:
            spans += _sealed(sealed, keys, now)
        spliced = _spliced(body, spans)
        if spliced is None:
            return None
        if proven:
            self._keys.remember(proven)
        counts: dict[Outcome, int] = {}
        if opened:
            counts["opened"] = len(opened)
        if sealed:
            counts["sealed"] = len(sealed)
        frame = self._frame(counts)
        return mint_changed(frame, spliced, counts, kept)

    def _resolved(self, bound: Bound, sealed: list[_ToSeal], opened: list[_ToOpen]) -> Keys | None:
        """Return the sessions for these values; None where the store must be asked."""
        if not sealed and not opened:
            return _NO_SESSIONS
        keys = self._keys.resolve_warm(_needs(bound, sealed, opened))
        if keys is not None and keys.joined_since:
            # Joined names have, or look like, an older form under such sessions.
            since = keys.joined_since
            if any(one.created < since for one in keys.sealing.values()):
                return None
            if any(one.token.key_id.created < since for one in opened):
                return None
        return keys

    def _frame(self, counts: Mapping[Outcome, int]) -> Frame:
        which = "sealed" in counts, "opened" in counts
        frame = self._frames.get(which)
        if frame is None:
            frame = self._frames[which] = Frame(
                self._head,
                changed=bool(counts),
                ruled=self._ruled,
                private="opened" in counts,
                added_headers=self._added(counts),
            )
        return frame

    def _added(self, counts: Mapping[Outcome, int]) -> Headers:
        if isinstance(self._head, RequestHead):
            return added_to_request(self._head, counts)
        return added_to_response(self._head, counts, self._varies, opaque=False)


_Read = tuple[int | None, int | None, int, bool]
"""Where a name is read: the index of its path, None where it was kept; at which place of the names
it goes, None for none; its place among the kept ones; and whether it is kept."""


def _read_names(exchange: Exchange, json: PlainJson) -> tuple[list[str], tuple[_Read, ...]]:
    """Return the names that bind values, those of the head read, and where the others are read."""
    names: list[str] = []
    reads: list[_Read] = [(index, None, 0, True) for index in json.keeps]
    keeps = exchange.keeps
    for at, (source, index) in enumerate(json.sources):
        name = ""
        if index is not None and index in json.keeps:
            reads[json.keeps.index(index)] = index, at, 0, True
        elif index is not None:
            reads.append((index, at, 0, False))
        elif isinstance(source, JsonSource):
            reads.append((None, at, keeps.index(source), False))
        else:
            found = exchange.name(cast("NameSource", source))
            if found is None:
                raise KeyError(source)
            name = found
        names.append(name)
    return names, tuple(reads)


def _comparison(
    exchange: Exchange, compiled: CompiledBlock, head: RequestHead | ResponseHead
) -> Callable[[bytes], bool] | None:
    """Return what tells whether a parameter of the query may be in a body too; None for nothing."""
    sources = compiled.sources_elsewhere
    if sources is None or not sources.reads_members or not isinstance(head, RequestHead):
        return None

    def differs(body: bytes) -> bool:
        try:
            sources.compare_body(exchange, head, JSON, body)
        except SealyardError:
            return True
        return False

    return differs


def _name_at(body: bytes, place: Sequence[int]) -> str | None:
    return name_of(body[place[0] : place[1]]) if place else None


class _ToSeal(NamedTuple):
    """A value to be sealed."""

    start: int
    end: int
    item: Item
    context: Context
    text: bytes
    cty: str | None


class _ToOpen(NamedTuple):
    """A token to be opened."""

    start: int
    end: int
    context: Context
    token: Token


_Span = tuple[int, int, bytes]
"""Where a value lies, and what takes its place."""


def _to_seal(
    body: bytes, places: Places, strides: tuple[int, ...], bound: Bound
) -> list[_ToSeal] | None:
    """Return the values to be sealed; None where one may be sealed already."""
    found: list[_ToSeal] = []
    for index, item, context in bound.seals:
        flat, stride = places[index], strides[index]
        for at in range(0, len(flat), stride):
            start, end = flat[at], flat[at + 1]
            raw = body[start:end]
            text = Selection.text(raw)
            if text is None:
                found.append(_ToSeal(start, end, item, context, raw, CTY_JSON))
            elif has_prefix(text):
                return None
            else:
                found.append(_ToSeal(start, end, item, context, text, None))
    return found


def _to_open(
    body: bytes, places: Places, strides: tuple[int, ...], bound: Bound
) -> list[_ToOpen] | None:
    """Return the tokens to be opened; None where a value is none."""
    found: list[_ToOpen] = []
    for index, _, context in bound.opens:
        flat, stride = places[index], strides[index]
        for at in range(0, len(flat), stride):
            start, end = flat[at], flat[at + 1]
            text = Selection.text(body[start:end])
            token = None if text is None else decoded_token(text)
            if type(token) is not Token:
                return None
            found.append(_ToOpen(start, end, context, token))
    return found


def _needs(bound: Bound, sealed: list[_ToSeal], opened: list[_ToOpen]) -> Needs:
    """Return the keys that these values need."""
    key_ids = {one.token.key_id for one in opened}
    if (bound.seal_scope or not sealed) and (bound.open_scope or not opened) and len(key_ids) <= 1:
        return bound.needs(len(sealed), key_ids.pop() if key_ids else None)
    seals = Counter(one.context.scope for one in sealed)
    opens = frozenset((one.context.scope, one.token.key_id) for one in opened)
    return Needs(dict(seals), opens)


def _opened(tokens: list[_ToOpen], keys: Keys, now: float) -> tuple[list[_Span], _Proven] | None:
    """Return what tokens hold, and how many each session opened; None where one does not open.

    The others are tried all the same, and those that must not open take as long: else the time
    would tell which of many it was, and why.
    """
    spans: list[_Span] = []
    proven: _Proven = {}
    failed = False
    for start, end, context, token in tokens:
        wanted = context.scope, token.key_id
        session = keys.opening.get(wanted) or keys.decoys.get(wanted)
        if session is None:
            failed = True
            continue
        try:
            plaintext = session.open(token, context, now, refusal=keys.refusals.get(wanted))
            spans.append((start, end, as_json(plaintext, token.cty)))
        except OpenFailed:
            failed = True
            continue
        proven[session] = proven.get(session, 0) + 1
    return None if failed else (spans, proven)


def _sealed(values: list[_ToSeal], keys: Keys, now: float) -> list[_Span]:
    """Return the tokens of values; raise UnfitValue or ValueTooLong where one cannot be sealed."""
    spans: list[_Span] = []
    for start, end, item, context, text, cty in values:
        require_text(item, text, cty)
        token = keys.sealing[context.scope].seal(
            text,
            context,
            cty=cty,
            form=item.form,
            exp=item.expires and expiry(now, item.expires),
            max_chars=item.max_chars,
            name=item.field,
        )
        spans.append((start, end, b"".join((b'"', token, b'"'))))
    return spans


def _spliced(body: bytes, spans: list[_Span]) -> bytes | None:
    """Return a body with its spans replaced; None where two of them overlap."""
    if not spans:
        return body
    pieces: list[bytes] = []
    at = 0
    for start, end, text in sorted(spans):
        if start < at:
            return None
        pieces += (body[at:start], text)
        at = end
    return b"".join((*pieces, body[at:]))
