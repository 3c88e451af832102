"""The way of plain JSON: its values found, sealed and opened without a plan.

What is found is what a walk finds; every value is checked as its edit would check it. Whatever is
not certain is left to the general way, from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from ..compiled.block import CompiledBlock
from ..compiled.plain_json import Bound, Places, PlainJson
from ..crypto.session_cipher import Session
from ..crypto.token import (
    CTY_JSON,
    decode_header,
)
from ..edits.edits import Outcome, as_json, expiry
from ..edits.fit_values import require_text
from ..edits.key_needs import Keys, Needs
from ..errors import SealyardError
from ..formats.json import unescaped
from ..formats.json.body import JSON
from ..http.message import Head, Headers, RequestHead, ResponseHead
from ..leaves import FORM, quote, splice_quoted, token_parts, tokens
from ..planning.exchange import Exchange, Kept
from . import way_values
from .added_headers import added_to_request, added_to_response
from .forwardable import Changed, Frame, mint_changed
from .way_names import reader

_SEALED: Final = 1
_OPENED: Final = 2
_ONE: Final = 2
"""So many numbers say where one value lies, outside of lists."""
_MOST_PLACES: Final = 1600 if FORM == "native" else 600
"""So many numbers say where 533 values of a list lie, or 200: a millisecond or two, as long as a
slice."""
_ONE_SEALED: Final[Mapping[Outcome, int]] = {"sealed": 1}
_ONE_OPENED: Final[Mapping[Outcome, int]] = {"opened": 1}


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
        "_read",
        "_ruled",
        "_varies",
    )

    def __init__(
        self,
        exchange: Exchange,
        compiled: CompiledBlock,
        head: Head,
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
        self._frames: list[Frame | None] = [None] * 4
        self._read = reader(exchange, json)
        self._compare = _comparison(exchange, compiled, head)

    def change(
        self, body: bytes, now: float, kept: Kept = (), *, any_number: bool = False
    ) -> Changed | None:
        """Return the message with this body changed, or None where the general way must tell.

        `kept` are the names of the request's body, `now` is in seconds since 1970. `any_number`:
        it is worked at in slices, so there may be more values than one slice has time for.
        """
        json = self._json
        found = json.finder.find(body)
        if found is None or found[0] & json.required:
            return None
        places = found[1]
        read = self._read(body, places, kept)
        if read is None or (self._compare is not None and self._compare(body)):
            return None
        bound, kept = read
        try:
            if bound.only is None or len(places[bound.only]) != _ONE:
                if not any_number and sum(map(len, places)) > _MOST_PLACES:
                    return None
                return self._carried_out(body, places, bound, now, kept)
            one = self._one_sealed if bound.seals else self._one_opened
            return one(body, places, bound, now, kept)
        except SealyardError:
            return None

    def _carried_out(
        self, body: bytes, places: Places, bound: Bound, now: float, kept: Kept
    ) -> Changed | None:
        """Return the message with its values sealed and opened; None where one cannot be."""
        strides = self._json.strides
        groups = way_values.to_seal(body, places, strides, bound) if bound.seals else []
        runs = way_values.to_open(body, places, strides, bound) if bound.opens else []
        if groups is None or runs is None or (self._json.at_will and not groups):
            return None
        if not groups and not runs:
            return mint_changed(self._frame(0), body, {}, kept)
        keys = self._keys.resolve_warm(way_values.needs(bound, groups, runs))
        if keys is None:
            return None
        opened = way_values.opened(keys, runs, now) if runs else []
        if opened is None:
            return None
        sealed = way_values.sealed(keys, groups, now) if groups else []
        changed = way_values.replaced(body, groups, sealed, runs, opened)
        if changed is None:
            return None
        which = 0
        counts: dict[Outcome, int] = {}
        if runs:
            which, counts["opened"] = _OPENED, sum(map(len, opened))
            self._keys.remember(way_values.proven(keys, runs))
        if groups:
            which, counts["sealed"] = which | _SEALED, sum(map(len, sealed))
        return mint_changed(self._frame(which), changed, counts, kept)

    def _one_sealed(
        self, body: bytes, places: Places, bound: Bound, now: float, kept: Kept
    ) -> Changed | None:
        """Do as `_carried_out` for the one value that is sealed, as most messages have it."""
        ((index, item, context),) = bound.seals
        start, end = places[index]
        cty = None
        if body[start] == way_values.QUOTE:
            text = body[start + 1 : end - 1]
            if b"\\" in text:
                text = unescaped(body[start:end])
            if text.startswith(way_values.TOKENS):
                return None
        else:
            text, cty = body[start:end], CTY_JSON
        keys = self._keys.resolve_warm(bound.to_seal_one)
        if keys is None:
            return None
        (session,) = keys.sealing.values()
        if item.min_chars is not None:
            require_text(item, text, cty)
        exp = item.expires and expiry(now, item.expires)
        token = session.seal(
            text, context, cty=cty, form=item.form, exp=exp, max_chars=item.max_chars
        )
        changed = b"".join((body[:start], b'"', token, b'"', body[end:]))
        frame = self._frames[_SEALED] or self._frame(_SEALED)
        return mint_changed(frame, changed, _ONE_SEALED, kept)

    def _one_opened(
        self, body: bytes, places: Places, bound: Bound, now: float, kept: Kept
    ) -> Changed | None:
        """Do as `_carried_out` for the one value that is opened, as most messages have it."""
        ((index, _, context),) = bound.opens
        start, end = places[index]
        text = body[start + 1 : end - 1] if body[start] == way_values.QUOTE else b""
        parts = token_parts(text) if len(text) < tokens.LARGE else tokens.token_parts(text)
        if parts is None:
            return self._carried_out(body, places, bound, now, kept)
        header = decode_header(parts[0])
        key_id = header.key_id
        needs = bound.to_open_one.get(key_id) or bound.opening_one(key_id)
        keys = self._keys.resolve_warm(needs)
        if keys is None:
            return None
        wanted = context.scope, key_id
        session = keys.opening.get(wanted) or keys.decoys.get(wanted)
        if session is None:
            return None
        texts = session.open_each((parts,), context, now, keys.refusals.get(wanted))
        if texts is None:
            return None
        (text,) = texts
        changed: bytes | None = None
        if header.cty is None and len(text) >= tokens.LARGE:
            changed = splice_quoted(body, [start, end], [text])  # which copies it once
        elif literal := (quote(text) if header.cty is None else as_json(text, header.cty)):
            changed = b"".join((body[:start], literal, body[end:]))
        if changed is None:
            return None
        self._keys.remember({session: 1})
        frame = self._frames[_OPENED] or self._frame(_OPENED)
        return mint_changed(frame, changed, _ONE_OPENED, kept)

    def _frame(self, which: int) -> Frame:
        """Return what is the same for all messages with these outcomes."""
        frame = self._frames[which]
        if frame is None:
            counts: dict[Outcome, int] = {}
            if which & _OPENED:
                counts["opened"] = 1
            if which & _SEALED:
                counts["sealed"] = 1
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
        if isinstance(self._head, ResponseHead):
            return added_to_response(self._head, counts, self._varies, opaque=False)
        return ()


def _comparison(
    exchange: Exchange, compiled: CompiledBlock, head: Head
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
