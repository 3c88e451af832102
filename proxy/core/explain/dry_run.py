"""Dry runs: what a rule would do to a message that passes unchanged.

The same plan is made and carried out as in mode `enforce`, and its result is discarded. Values are
sealed under a key that exists for the dry run alone, so that no session counts them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from ..apply.apply import apply
from ..compiled.rule_table import Decision
from ..crypto.secret import KEY_BYTES, SessionKey
from ..crypto.session_cipher import Session
from ..crypto.token import ASSUMED_KEK_ID
from ..edits.edits import Outcome
from ..edits.key_needs import Keys, Needs
from ..planning.exchange import Exchange
from ..planning.plan import Plan

_SID_REST = bytes(8)


class DryRunResult(NamedTuple):
    """What a rule would do to one message: how many values would have which outcome.

    `reason` says why the message would be refused; None where it would not.
    """

    counts: Mapping[Outcome, int]
    reason: str | None = None


def enforced_exchange(exchange: Exchange) -> Exchange:
    """Return the exchange as it would be if the rule that observes it enforced.

    Raises TypeError where none does.
    """
    decision = exchange.decision
    if decision.observes is None:
        raise TypeError("no rule observes this message")
    return Exchange(Decision(decision.observes, decision.captures), exchange.head)


def opening_needs(plan: Plan) -> Needs:
    """Return the sessions that a dry run needs: those that open."""
    return Needs({}, plan.needs.opens, plan.needs.joined)


def try_out(plan: Plan, keys: Keys, now: float) -> DryRunResult:
    """Return what carrying out a plan comes to; `keys` has sessions for opening.

    Raises MessageError where the message would be refused.
    """
    sid = int(now).to_bytes(4) + _SID_REST
    sealing = {
        scope: Session(
            SessionKey(os.urandom(KEY_BYTES)), sid=sid, scope=scope, kek_id=ASSUMED_KEK_ID
        )
        for scope in plan.needs.seals
    }
    return DryRunResult(apply(plan, replace(keys, sealing=sealing), now).counts)
