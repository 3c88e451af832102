"""Explanations as JSON holds them, for whoever asks: a command, or the admin API."""

from __future__ import annotations

from . import path as paths
from .context import Context
from .errors import SealyardError
from .exchange import Exchange
from .explanation import Explanation, Value, explain_request
from .joined import to_json
from .message import Headers, RequestHead
from .rulebook import Rulebook


def explain_target(
    rulebook: Rulebook, method: str, target: str, headers: Headers, body: bytes
) -> tuple[Explanation, Exchange | None]:
    """Return what would happen to a request for `target`, a path with or without a query.

    The exchange is for its answer; there is none where the request would be refused.
    """
    raw_path, question, query = target.partition("?")
    try:
        path = paths.canonical(raw_path)
    except SealyardError as error:
        return Explanation((), None, refusal=error), None
    head = RequestHead(method, path.text, query if question else None, headers)
    return explain_request(rulebook, head, path, body)


def document(one: Explanation) -> dict[str, object]:
    """Return an explanation as JSON holds it."""
    refusal = one.refusal
    return {
        "rule": one.rule,
        "considered": [{"rule": each.rule, "because": each.because} for each in one.considered],
        "values": [_value(value) for value in one.values],
        "outgoing": one.outgoing.decode("utf-8", "replace") if one.outgoing is not None else None,
        "refusal": {"code": refusal.code, "reason": refusal.reason, "detail": refusal.detail}
        if refusal is not None
        else None,
    }


def bound_parts(context: Context) -> dict[str, object]:
    """Return the parts that a context binds, by their names; joined ones as JSON spells them."""
    parts = {
        "tenant": context.scope.tenant,
        "conversation": context.scope.conversation,
        "field": context.field,
        "message": context.message,
        "purpose": context.purpose,
        "kind": context.kind,
    }
    return {part: to_json(name) for part, name in parts.items() if name is not None}


def _value(value: Value) -> dict[str, object]:
    return {
        "action": value.action,
        "field": value.field,
        "place": value.place,
        "bytes": [value.start, value.end],
        "bound_to": bound_parts(value.context),
        "characters": value.characters,
        "note": value.note,
    }
