"""The way of records: those of a stream that came together, each sealed and opened by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..crypto.session_cipher import Session
from ..edits.edits import Outcome
from ..edits.key_needs import Keys, Needs
from ..formats.body_format import RecordFormat
from ..leaves import FORM
from ..planning.exchange import Kept
from .forwardable import Changed, Frame, mint_changed
from .json_way import JsonWay, WarmKeys

MOST_RECORDS: Final = 256 if FORM == "native" else 64
"""So many records go a way at once: about two milliseconds, if each has one value."""
MOST_VALUES: Final = 533
"""So many values they may have together, as those of a list."""
_BLANK: Final = b" \t\r\n"


class KeysTogether:
    """The keys of some records: what they have proven is kept once all of them are done."""

    __slots__ = ("_keys", "_proven")

    def __init__(self, keys: WarmKeys) -> None:
        """Take where keys come from."""
        self._keys = keys
        self._proven: list[Mapping[Session, int]] = []

    def resolve_warm(self, needs: Needs) -> Keys | None:
        """Return the sessions if they are cached, and count them as used."""
        return self._keys.resolve_warm(needs)

    def remember(self, sessions: Mapping[Session, int]) -> None:
        """Note sessions under which so many tags have verified."""
        self._proven.append(sessions)

    def forget(self) -> None:
        """Begin again with other records."""
        self._proven.clear()

    def keep(self) -> None:
        """Let the sessions be kept that were noted."""
        for sessions in self._proven:
            self._keys.remember(sessions)
        self._proven.clear()


class RecordWay:
    """The way of a stream's records, as many as have come: it takes all of them, or none."""

    __slots__ = ("_frame", "_kept", "_keys", "_sentinels", "_usual", "_way")

    def __init__(  # noqa: PLR0913, PLR0917 - what is known of a stream
        self,
        way: JsonWay,
        keys: KeysTogether,
        frame: Frame,
        body_format: RecordFormat,
        sentinels: frozenset[bytes],
        kept: Kept,
    ) -> None:
        """Take the way of one record, and its keys; `kept` are the names of the request's body."""
        self._way = way
        self._keys = keys
        self._frame = frame
        self._usual = body_format.usual
        self._sentinels = sentinels
        self._kept = kept

    def change(self, records: bytes, now: float) -> Changed | None:
        """Return whole records changed, or None where the general way must tell.

        `now` is in seconds since 1970.
        """
        self._keys.forget()
        usual, size = self._usual, len(records)
        pieces: list[bytes] = []
        counts: dict[Outcome, int] = {}
        at = done = 0
        while at < size:
            lying = usual(records, at)
            if lying is None or len(pieces) >= 2 * MOST_RECORDS:
                return None
            if sum(counts.values()) > MOST_VALUES:
                return None
            start, end, at = lying
            text = self._changed(records[start:end], now, counts)
            if text is None:
                return None
            pieces += (records[done:start], text)
            done = end
        if not pieces:
            return None
        self._keys.keep()
        pieces.append(records[done:])
        return mint_changed(self._frame, b"".join(pieces), counts)

    def _changed(self, text: bytes, now: float, counts: dict[Outcome, int]) -> bytes | None:
        """Return a record changed, and count its values; None where it is not certain."""
        if self._sentinels and text.strip(_BLANK) in self._sentinels:
            return None
        changed = self._way.change(text, now, self._kept)
        if changed is None or changed.body is None:
            return None
        if b"\n" in changed.body or b"\r" in changed.body:
            return None  # JSON that was sealed as it was written; its record spells it otherwise
        for outcome, count in changed.counts.items():
            counts[outcome] = counts.get(outcome, 0) + count
        return changed.body


class MessageWay:
    """The way of the messages of a WebSocket that go in one direction."""

    __slots__ = ("_sentinels", "_way")

    def __init__(self, way: JsonWay, sentinels: frozenset[bytes]) -> None:
        """Take the way of their JSON, and the messages that pass unread."""
        self._way = way
        self._sentinels = sentinels

    def change(self, body: bytes, now: float) -> Changed | None:
        """Return a message changed, or None where the general way must tell.

        `now` is in seconds since 1970.
        """
        if self._sentinels and body.strip(_BLANK) in self._sentinels:
            return None
        return self._way.change(body, now)
