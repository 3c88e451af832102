"""What a process reports about its keys: to the log, the metrics and the audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ...core.crypto import base64url, derivation
from ...core.crypto.secret import RecordKey
from ...core.errors import KeyUnavailable, UnfitEnvironment, Unopened
from ...core.values.key_needs import Attempt
from ..audit import Trail, Value
from ..audit.trail import LineLimit
from ..keyring.poison import is_poison
from ..policy import REFUSED_LINES, SESSION_LINES

if TYPE_CHECKING:  # takes memory, with the library of the logs
    from ...telemetry.reporter import Reporter

Cause = Literal["first", "age", "use", "revoked", "admin"]

BLOCKED: Final = "audit-unavailable"
"""The reason of refusals while the audit log cannot be written."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A session that begins: its name in the store, its ids, why, and for how many seconds."""

    scope: str
    sid: bytes
    kek: str | None
    cause: Cause
    ttl: float
    previous: bytes | None = None


class KeyEvents:
    """Reports events about the keys of one process. `trail` is its audit log, if it has one.

    `clock` returns seconds that never go back.
    """

    def __init__(
        self,
        reporter: Reporter,
        trail: Trail | None,
        record_key: RecordKey,
        *,
        clock: Callable[[], float],
    ) -> None:
        """Report nothing yet."""
        self._reporter = reporter
        self.trail = trail
        self._poison = derivation.poison_key(record_key)
        self._bounds: dict[str, LineLimit] = {}
        if trail is not None:
            # A client can make each of them happen as often as it likes.
            self._bounds = {
                "session": LineLimit(trail, SESSION_LINES, clock=clock),
                "refused": LineLimit(trail, REFUSED_LINES, clock=clock),
                "poison": LineLimit(trail, REFUSED_LINES, clock=clock),
            }

    def replace_record_key(self, key: RecordKey) -> None:
        """Recognise the poison tokens of another keyring, and write lines under its audit key."""
        self._poison = derivation.poison_key(key)
        if self.trail is not None:
            self.trail.key = derivation.audit_key(key)

    async def write_down(self, event: str, **values: Value) -> None:
        """Write an event to the audit log before it happens.

        Raises KeyUnavailable where the log blocks and cannot be written.
        """
        if self.trail is None:
            return
        try:
            await self.trail.write(event, **values)
        except UnfitEnvironment:
            raise KeyUnavailable(BLOCKED) from None

    async def begins(self, one: Beginning) -> None:
        """Report a session that the process is about to seal with.

        Raises KeyUnavailable where the audit log blocks and cannot be written.
        """
        event = "created" if one.cause == "first" else "rotated"
        sid = base64url.encode(one.sid).decode()
        mode = "ephemeral" if one.kek is None else "durable"
        kind: dict[str, Value] = {"mode": mode, "cause": one.cause}
        await self._session(f"key.session_{event}", kind, {"scope": one.scope, "sid": sid})
        fields: dict[str, object] = {"sid": sid, "kek": one.kek, "mode": mode, "ttl_s": one.ttl}
        if one.cause != "first":
            before = None if one.previous is None else base64url.encode(one.previous).decode()
            fields |= {"previous": before, "cause": one.cause}
        self._reporter.report(f"key.session_{event}", **fields)

    def refused(self, unopened: Iterable[Unopened], attempt: Attempt) -> bool:
        """Report tokens that did not open; return whether a poison token is among them."""
        sids: set[bytes] = set()
        reasons: Counter[str] = Counter()
        for one in unopened:
            reasons[one.reason] += 1
            sids.add(one.sid)
        where: dict[str, Value] = {
            "listener": attempt.listener,
            "rule": attempt.rule,
            "direction": attempt.direction,
        }
        if (bound := self._bounds.get("refused")) is not None:
            for reason, values in reasons.items():
                kind = {**where, "reason": reason}
                bound.note("open.refused", kind, request_id=attempt.request_id, values=values)
        poison = sorted(sid for sid in sids if is_poison(self._poison, sid))
        for sid in poison:
            self._poisoned(base64url.encode(sid).decode(), attempt, where)
        return bool(poison)

    def close(self) -> None:
        """Write the lines for events that were only counted."""
        for bound in self._bounds.values():
            bound.flush()

    async def _session(self, event: str, kind: dict[str, Value], values: dict[str, Value]) -> None:
        bound = self._bounds.get("session")
        if bound is None or self.trail is None:
            return
        if not self.trail.blocks:
            bound.note(event, kind, **values)
        elif bound.admits():
            await self.write_down(event, **kind, **values)
        elif self.trail.blocked:
            raise KeyUnavailable(BLOCKED)
        else:
            bound.count(event, kind)

    def _poisoned(self, sid: str, attempt: Attempt, where: dict[str, Value]) -> None:
        self._reporter.report(
            "poison.opened",
            sid=sid,
            listener=attempt.listener,
            rule=attempt.rule,
            direction=attempt.direction,
            request_id=attempt.request_id,
            shut=attempt.shuts,
        )
        if (bound := self._bounds.get("poison")) is not None:
            bound.note("poison.opened", {**where, "sid": sid}, request_id=attempt.request_id)
