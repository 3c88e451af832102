"""What messages open, in the audit log: a line before one goes on, and one once it is over.

The first says what was `attempted`: it may be there although nothing went out. The second says, of
many messages at a time, by the ids of their requests, which were handed over whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Final

from ...core.callers import ANYONE, VerifiedCaller
from ...core.crypto import base64url, derivation
from ...core.crypto.context import Scope
from ...core.crypto.secret import RecordKey
from ...core.crypto.session_cipher import Session
from ...core.errors import KeyUnavailable, UnfitEnvironment
from ...core.values.key_needs import Opening
from ...core.values.outcomes import SHOWN, Outcome
from .. import policy
from ..audit import Trail
from ..audit.line import ATTEMPTED, OVER, Values, spelled
from ..lru_map import BoundedMap
from ..policy import GATHER_SECONDS, LINES_KNOWN, MOST_AT_ONCE, OPENED_SCOPES
from .key_events import BLOCKED

AS: Final[dict[Outcome, str]] = {
    "opened": "value",
    "masked": "mask",
    "token": "token",
    "absent": "absent",
}
"""What a value came out as, for each outcome that a line is written for."""


class OpenLines:
    """Writes lines about what messages opened to `trail`.

    `name_of` returns the name of a conversation in the store, `record_key` the one in use. Without
    `withheld` there is no line about a message of which nothing came out as value or mask. With
    `clear`, lines name issuer and subject of a caller. Needs a running event loop.
    """

    def __init__(
        self,
        trail: Trail,
        name_of: Callable[[Scope], str],
        record_key: Callable[[], RecordKey],
        *,
        withheld: bool,
        clear: bool,
    ) -> None:
        """Write nothing yet."""
        self._trail = trail
        self._name_of = name_of
        self._record_key = record_key
        self._withheld = withheld
        self._clear = clear
        self._known = BoundedMap[tuple[object, ...], bytes](LINES_KNOWN)
        self._key: RecordKey | None = None
        self._over: dict[str, bool] = {}
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, caller: VerifiedCaller | None) -> None:
        """Admit whoever it is: what is written down is not limited."""

    async def attempt(self, one: Opening) -> None:
        """Write down what is about to go on; where the log blocks, return once it is on the disk.

        Raises KeyUnavailable where that log cannot be written.
        """
        if not self._withheld and SHOWN.isdisjoint(how for _, how in one.counts):
            return
        lines = self._lines(one)
        if not self._trail.blocks:
            for members in lines:
                self._trail.note_spelled(ATTEMPTED, {}, members)
            return
        waiting = [self._trail.writing(ATTEMPTED, {}, members) for members in lines]
        try:
            await (waiting[0] if len(waiting) == 1 else asyncio.gather(*waiting))
        except UnfitEnvironment:
            raise KeyUnavailable(BLOCKED) from None

    def over(self, request_id: str, *, delivered: bool) -> None:
        """Note that a message with such a line is over: handed over whole, or perhaps in part."""
        self._over[request_id] = delivered
        if len(self._over) >= MOST_AT_ONCE:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(GATHER_SECONDS, self.flush)

    def flush(self) -> None:
        """Write which messages are over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        over, self._over = self._over, {}
        if over:
            delivered = tuple(one for one, whole in over.items() if whole)
            cut = tuple(one for one, whole in over.items() if not whole)
            self._trail.note(OVER, delivered=delivered, cut=cut)

    def _lines(self, one: Opening) -> list[bytes]:
        """Return the members of the lines about a message: one, unless it has many sessions."""
        key = self._record_key()
        if key is not self._key:
            self._key = key
            self._known.clear()
        if len(one.counts) > policy.OPENED_FIELDS:
            one = one._replace(counts=_told(one.counts, policy.OPENED_FIELDS))
        listener, rule, direction, request_id, caller, purpose, sessions, counts, _ = one
        who = ("",) if caller is None else (caller.name, caller.issuer, caller.subject)
        which = listener, rule, direction, purpose, *who, *counts.items()
        about = self._known.peek(which) or self._kept(which, self._about(one, key))
        some = tuple(sessions)
        if len(some) == 1:  # nearly always; a session itself is not kept here, nor its keys
            session = some[0].sid, some[0].scope
            named = self._known.peek(session) or self._kept(session, self._spelled(some))
            return [b'%b,"request_id":"%b"%b' % (about, request_id.encode("ascii"), named)]
        told = b'%b,"request_id":"%b"' % (about, request_id.encode("ascii"))
        starts = range(0, len(some) or 1, OPENED_SCOPES)
        return [told + self._spelled(some[at : at + OPENED_SCOPES]) for at in starts]

    def _kept(self, which: tuple[object, ...], members: bytes) -> bytes:
        if len(which) <= policy.LINE_PARTS:
            self._known.put(which, members)
        return members

    def _about(self, one: Opening, key: RecordKey) -> bytes:
        """Return the members about a message but for its id, conversations and sessions."""
        values: Values = {
            "listener": one.listener,
            "rule": one.rule,
            "direction": one.direction,
            **self._caller(one.caller, key),
            **({"purpose_of_use": one.purpose} if one.purpose else {}),
            "fields": tuple(f"{name}:{AS[how]}:{n}" for (name, how), n in one.counts.items()),
        }
        if len(made := spelled(values)) > policy.LINE_BYTES // 2:  # no reader takes a long line
            return self._about(one._replace(counts=_told(one.counts, 0)), key)
        return made

    def _caller(self, caller: VerifiedCaller | None, key: RecordKey) -> dict[str, str]:
        if caller is None:
            return {"caller": ANYONE}
        named = derivation.caller_name(derivation.caller_key(key), caller.issuer, caller.subject)
        values = {"caller": caller.name, "subject_hash": named[0], "subject_key": named[1]}
        if self._clear:
            values |= {"issuer": caller.issuer, "subject": caller.subject}
        return values

    def _spelled(self, some: Iterable[Session]) -> bytes:
        return spelled(
            {
                "scopes": tuple(dict.fromkeys(self._name_of(each.scope) for each in some)),
                "sids": tuple(base64url.encode(each.sid).decode() for each in some),
            }
        )


def _told(counts: Mapping[tuple[str, Outcome], int], most: int) -> dict[tuple[str, Outcome], int]:
    """Return the first fields, and the others together as `*`: names may be those of a client."""
    told = dict(islice(counts.items(), most))
    for (_, how), number in islice(counts.items(), most, None):
        told["*", how] = told.get(("*", how), 0) + number
    return told
