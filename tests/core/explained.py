"""What a rule does to one message, told by the core alone, as the traffic port would note it."""

from __future__ import annotations

from dataclasses import replace

from proxy.core.compiled.rule_table import Decision, RuleTable
from proxy.core.errors import SealyardError
from proxy.core.explain.describe import describe
from proxy.core.explain.dry_run import assumed_keys, with_trial_sealing
from proxy.core.explain.explanation import Explanation, Wanted, considered_for
from proxy.core.http.message import RequestHead, ResponseHead
from proxy.core.http.path import CanonicalPath
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.mistyped_response import Look
from proxy.core.planning.plan import Plan
from proxy.core.planning.treatment import LookAt, ReadResponse, treat_response, treat_seen
from proxy.core.transform import apply, plan_request, plan_response
from tests.factories import NOW


def explain_request(
    rule_table: RuleTable, head: RequestHead, path: CanonicalPath, body: bytes
) -> tuple[Explanation, Exchange | None]:
    """Return what happens to a request, and the exchange for its answer if it goes on."""
    considered = considered_for(rule_table, Wanted(head.method, head.path))
    decision: Decision | None = None
    try:
        decision = rule_table.decide(head.method, path)
        exchange = Exchange(decision, head)
        exchange.refuse_unclear()
        told = Explanation(considered, _name(decision), outgoing=body)
        if decision.reads_request:
            told = _described(told, plan_request(exchange, body))
        elif body:
            exchange.refuse_body()
    except SealyardError as error:
        rule = _name(decision) if decision is not None else getattr(error, "rule", None)
        return Explanation(considered, rule, refusal=error), None
    return told, exchange if told.refusal is None else None


def explain_response(exchange: Exchange, head: ResponseHead, body: bytes) -> Explanation:
    """Return what happens to the answer of a request that was explained."""
    told = Explanation((), _name(exchange.decision), outgoing=body)
    try:
        treatment = treat_response(exchange, head, length=len(body))
        if isinstance(treatment, LookAt):
            look = Look(treatment.block, head, len(body), len(body))
            look.feed(body)
            look.end()
            head, treatment = treat_seen(exchange, head, look)
        if not isinstance(treatment, ReadResponse):
            return told
        return _described(told, plan_response(exchange, treatment.block, head, body))
    except SealyardError as error:
        return replace(told, outgoing=None, refusal=error)


def _described(told: Explanation, plan: Plan) -> Explanation:
    keys = with_trial_sealing(assumed_keys(plan.needs), plan.needs, NOW)
    described = describe(plan, keys, NOW)
    told = replace(told, values=described.values, outgoing=described.outgoing)
    try:
        apply(plan, keys, NOW)
    except SealyardError as error:
        return replace(told, outgoing=None, refusal=error)
    return told


def _name(decision: Decision) -> str | None:
    return decision.rule.name if decision.rule is not None else None
