"""Dry runs: what a rule would do to a message that passes unchanged.

The same plan is made and carried out as in mode `enforce`, and its result is discarded. Values are
sealed under a key that exists for the dry run alone, so that no session counts them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from ..crypto.aead import Parts
from ..crypto.context import Context, Scope
from ..crypto.sealed_stream import CTY_STREAM_KEY
from ..crypto.secret import KEY_BYTES, IndexSecret, SessionKey
from ..crypto.session_cipher import Session
from ..crypto.token import ASSUMED_KEK_ID, CTY_JSON, Token
from ..errors import MessageError, OpenFailed
from ..planning.plan import Plan
from ..policy import EXPIRY_SKEW_SECONDS
from ..transform import apply
from ..values.key_needs import Keys, Needs, Unrevoked
from ..values.outcomes import NO_TOKEN, Outcome
from ..values.table import token_in

if TYPE_CHECKING:
    from ..search.tags import IndexKeys

_SID_REST = bytes(8)
NEEDS_KEYS: Final = "needs-keys"
"""Why a trial without keys cannot tell what happens: the content of a sealed stream."""


class DryRunResult(NamedTuple):
    """What a rule would do to one message: how many values would have which outcome.

    `reason` says why the message would be refused; None where it would not. `permissive` says why
    it would be in mode `permissive` as well.
    """

    counts: Mapping[Outcome, int]
    reason: str | None = None
    permissive: str | None = None


def refused(reason: str) -> DryRunResult:
    """Return the result for a message that would be refused in every mode."""
    return DryRunResult({}, reason, reason)


def opening_needs(plan: Plan) -> Needs:
    """Return the sessions that a dry run needs: those that open."""
    return Needs({}, plan.needs.opens, plan.needs.seeks)


def try_out(plan: Plan, keys: Keys, now: float) -> DryRunResult:
    """Return what carrying out a plan comes to; `keys` has sessions for opening."""
    keys = with_trial_sealing(keys, plan.needs, now)
    try:
        return DryRunResult(apply(plan, keys, now).counts)
    except MessageError as error:
        if error.reason != NO_TOKEN:
            return refused(error.reason)
    try:
        apply(plan, keys, now, permissive=True)
    except MessageError as error:
        return DryRunResult({}, NO_TOKEN, error.reason)
    return DryRunResult({}, NO_TOKEN)


def with_trial_sealing(
    keys: Keys, needs: Needs, now: float, kek_id: str | None = ASSUMED_KEK_ID
) -> Keys:
    """Return the keys with a session for sealing in each scope, which exists for the trial alone.

    Its tokens are as long as those under a KEK of that id, or as ephemeral ones for None.
    """
    sid = int(now).to_bytes(4) + _SID_REST
    sealing = {
        scope: Session(
            SessionKey(os.urandom(KEY_BYTES)),
            sid=sid,
            scope=scope,
            kek_id=None if scope.parties is not None else kek_id,
            kek_number=None if scope.parties is not None or kek_id is None else 1,
            packaged=scope.parties is not None,
        )
        for scope in needs.seals
    }
    return replace(keys, sealing=sealing, standing=_OfTrial())


class _OfTrial(Unrevoked):
    """Of the sessions of a trial, with an index secret that exists for it alone."""

    @property
    def index(self) -> Sequence[IndexKeys]:
        from ..search.tags import IndexKeys  # noqa: PLC0415 - loaded with its rules

        return (IndexKeys(IndexSecret(os.urandom(KEY_BYTES)), 1),)

    def equal(self, scope: Scope, *, seeks: bool = False) -> Session:
        return self.index[0].equal(scope)


class AssumedSession(Session):
    """A session that opens every token as if it were its own: for trials without keys.

    What comes out is the text `opened`, or that text as JSON.
    """

    __slots__ = ()

    def open_each(
        self, sealed: Sequence[Parts], context: Context, now: float, refusal: str | None
    ) -> tuple[Sequence[bytes | None], str]:
        """Return the text for each; None and a reason for what has expired, and for a stream."""
        token = token_in(sealed[0])
        assert token is not None  # noqa: S101 - all of them are tokens
        try:
            return [self.open(token, context, now)] * len(sealed), ""
        except OpenFailed as error:
            return [None] * len(sealed), error.reason

    def open(
        self, sealed: Token, context: Context, now: float, *, refusal: str | None = None
    ) -> bytes:
        """Return the text; raise OpenFailed for what has expired, and for a stream."""
        if sealed.exp is not None and now > sealed.exp + EXPIRY_SKEW_SECONDS:
            raise OpenFailed("expired-token")
        if sealed.cty == CTY_STREAM_KEY:
            raise OpenFailed(NEEDS_KEYS)
        return b'"opened"' if sealed.cty == CTY_JSON else b"opened"


def assumed_keys(needs: Needs) -> Keys:
    """Return keys with which every token opens, whatever it is."""
    key = SessionKey(os.urandom(KEY_BYTES))
    return Keys(
        {},
        {
            (scope, key_id): AssumedSession(key, sid=key_id.sid, scope=scope)
            for scope, key_id in needs.opens
        },
    )
