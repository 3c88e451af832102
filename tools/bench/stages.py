"""`python -m tools.bench.stages`: cost of each stage of a message, in process, without sockets.

Each figure is microseconds of CPU time: the least of nine rounds and the median. On a machine that
does other things too, the least tells more of the code.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto import token
from proxy.core.crypto.context import Context
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.formats.json import Selection
from proxy.core.http.message import Headers, RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.plan import Plan
from proxy.core.planning.treatment import treat_response
from proxy.core.rules.model import Rule
from proxy.core.transform import apply, plan_request, plan_response
from proxy.keys.keyring import keyring
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import MemoryStore
from proxy.traffic.http1.gate import admit
from tools.raw_requests import raw_request

from .timing import measure
from .transform import BOOK
from .works import a_message

_SECONDS: Final = 0.05
"""How long one round takes, about."""
_PATHS: Final = 5000
"""More than are remembered."""

_TARGET: Final = "/api/messages"
_REQUEST: Final[Headers] = (
    (b"Host", b"localhost:8080"),
    (b"User-Agent", b"a client of the usual kind"),
    (b"Accept", b"application/json"),
    (b"Accept-Encoding", b"gzip, deflate"),
    (b"Authorization", b"Bearer of.some.token"),
    (b"Content-Type", b"application/json"),
    (b"Content-Length", b"1024"),
)
_RESPONSE: Final[Headers] = (
    (b"Date", b"Mon, 01 Jan 2029 00:00:00 GMT"),
    (b"Server", b"a backend"),
    (b"Content-Type", b"application/json; charset=utf-8"),
    (b"Content-Length", b"1542"),
    (b"ETag", b'W/"1-2"'),
)


class Stage(NamedTuple):
    """One stage, or with a dash before its name a part of the one above; and its work."""

    name: str
    work: Callable[[], object]


def main() -> None:
    """Measure every stage and print the tables."""
    for title, found in _tables().items():
        sys.stdout.write(f"\n| {title} | least | median |\n|---|--:|--:|\n")
        for stage in found:
            timing = measure(stage.work, seconds=_SECONDS)
            sys.stdout.write(f"| {stage.name} | {timing.least:.2f} | {timing.median:.2f} |\n")


def _tables() -> dict[str, list[Stage]]:
    sessions = Sessions(
        keyring.create("k1", now=int(time.time()), random=os.urandom),
        MemoryStore(time.time),
        SessionSettings(),
        clock=time.time,
        random=os.urandom,
    )
    request, sealed = _request(sessions, a_message(1024))
    _, row = _request(sessions, a_message(256))
    rows = b'{"data": [' + b", ".join([row] * 50) + b"]}"
    return {
        "request of 1 KiB, one field sealed": request,
        "response of 1 KiB, one field opened": _response(sessions, sealed, block=0),
        "list of 50 messages of 256 B, 50 tokens opened": _response(sessions, rows, block=1),
        "match": [_deciding(count, new=new) for count in (10, 10_000) for new in (False, True)],
    }


def _exchange() -> Exchange:
    """Begin an exchange with a head of its own, as each message has one."""
    head = RequestHead("POST", _TARGET, None, _REQUEST)
    return Exchange(BOOK.decide("POST", canonical(_TARGET)), head)


def _request(sessions: Sessions, body: bytes) -> tuple[list[Stage], bytes]:
    """Return the stages of a request, and the body that comes of it."""
    raw = raw_request("POST", _TARGET, (1, 1), _REQUEST)
    plan = plan_request(_exchange(), body)
    keys = asyncio.run(sessions.resolve(plan.needs))
    ((scope, session),) = keys.sealing.items()
    context = Context(scope)
    names = ("$.content", "$.conversationId")
    selection = Selection(tuple(parse_json_selector(name) for name in names))
    found = [
        Stage("gate", lambda: admit(raw)),
        Stage("match", lambda: BOOK.decide("POST", canonical(_TARGET))),
        Stage("plan", lambda: plan_request(_exchange(), body)),
        Stage("- find", lambda: selection.find(body)),
        Stage("keys, at hand", lambda: sessions.resolve_warm(plan.needs)),
        Stage("apply", lambda: apply(plan, keys, time.time())),
        Stage("- seal", lambda: session.seal(body[-800:], context)),
    ]
    return found, apply(plan, keys, time.time()).forwardable.body or b""


def _response(sessions: Sessions, body: bytes, *, block: int) -> list[Stage]:
    """Return the stages of a response that this block of the rule opens."""
    exchange = _exchange()
    plan_request(exchange, a_message(256))  # it tells the conversation
    compiled_rule = exchange.decision.compiled_rule
    compiled = compiled_rule.response[block] if compiled_rule is not None else None
    if compiled is None:
        message = "the benchmark's rule matches"
        raise AssertionError(message)

    def planned() -> Plan:
        return plan_response(exchange, compiled, _answer(), body)

    plan = planned()
    keys = asyncio.run(sessions.resolve(plan.needs))
    proven = apply(plan, keys, time.time()).proven
    ((scope, _),) = plan.needs.opens
    first = body[body.index(token.JWE_PREFIX) :].partition(b'"')[0]
    decoded, session = token.decode(first), next(iter(proven))
    return [
        Stage("choose", lambda: treat_response(exchange, _answer())),
        Stage("plan", planned),
        Stage("- decode a token", lambda: token.decode(first)),
        Stage("keys, at hand", lambda: sessions.resolve_warm(plan.needs)),
        Stage("apply", lambda: apply(plan, keys, time.time())),
        Stage("- open a token", lambda: session.open(decoded, Context(scope), 0.0)),
        Stage("remember", lambda: sessions.remember(proven)),
    ]


def _answer() -> ResponseHead:
    return ResponseHead(200, b"OK", _RESPONSE)


def _deciding(rules: int, *, new: bool) -> Stage:
    """Return the decision among so many rules for one path, or for one new path after another."""
    patterns = [parse_pattern(f"POST /api/{number}/{{id}}") for number in range(rules)]
    book = RuleTable(tuple(Rule(one.text, (one,)) for one in patterns), pass_unmatched=True)
    chosen = [canonical(f"/api/{rules - 1}/{number}") for number in range(_PATHS if new else 1)]
    paths = itertools.cycle(chosen)
    name = f"{rules:,} rules, {'a new path each time' if new else 'a known path'}"
    return Stage(name, lambda: book.decide("POST", next(paths)))


if __name__ == "__main__":
    main()
