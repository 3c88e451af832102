"""`python -m tools.bench.held`: how long one large message holds the event loop, in CPU time.

The work pauses where the core says that it may, and a slice ends at the first pause behind two
milliseconds. So nobody is served for two milliseconds and the longest step between two pauses.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto import base64url
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import Selector, Whole, parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.treatment import ReadResponse, treat_response
from proxy.core.rules.model import Block, Item, Names, Part, Rule
from proxy.core.slices import pausing
from proxy.core.transform import PreparedJson, apply, plan_response, prepare_response
from proxy.core.values.key_needs import Needs
from proxy.keys.keyring import keyring
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import MemoryStore

_JSON: Final = ((b"Content-Type", b"application/json"),)
_BOUND: Final[frozenset[Part]] = frozenset({"tenant", "conversation"})
_NAMES: Final = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
_OWN: Final = Names(tenant=parse_source("const:clinic"), conversation=parse_source("$.entry.*.id"))


@dataclass(frozen=True, slots=True)
class Large:
    """A message, and what the rule opens in it by which names."""

    name: str
    select: Selector
    names: Names
    body: bytes


async def main() -> None:
    """Measure each message three times, and print the least."""
    ring = keyring.create("k1", now=int(time.time()) - 3600, random=os.urandom)
    gc.disable()  # as `traffic/slices` does for the oldest generation
    store = MemoryStore(clock=time.time)
    sessions = Sessions(ring, store, SessionSettings(), clock=time.time, random=os.urandom)
    await sessions.open()
    sys.stdout.write("| response | bytes | plan | keys | apply | together | longest step ")
    sys.stdout.write("| by its way | longest step |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
    for large in await _messages(sessions):
        runs = [await _run(large, sessions) for _ in range(3)]
        plan, keys, apply, *_ = min(runs, key=lambda run: sum(run[:3]))
        row = " | ".join(f"{one:.0f} ms" for one in (plan, keys, apply, plan + keys + apply))
        step, way, its_step = (min(run[at] for run in runs) for at in (3, 4, 5))
        sys.stdout.write(f"| {large.name} | {len(large.body):,} | {row} | {step:.1f} ms ")
        sys.stdout.write(f"| {way:.0f} ms | {its_step:.1f} ms |\n" if way else "| - | - |\n")


async def _messages(sessions: Sessions) -> list[Large]:
    rows = parse_json_selector("$.entry.*.note")
    mine = Context(Scope("clinic", "c1"))
    token = (await _session(sessions, mine.scope)).seal(b"a" * 600, mine).decode()
    short = (await _session(sessions, mine.scope)).seal(b"secret", mine).decode()
    bundle = [await _entry(sessions, f"p{at}") for at in range(4000)]
    return [
        Large("list of 16 MiB, each of its values opened", rows, _NAMES, _list(token, 16_000)),
        Large(
            "list of 16 MiB, none of its values sealed",
            Whole.TOKENS,
            _NAMES,
            _list("a" * 800, 19_000),
        ),
        Large("10,000 forged tokens", Whole.TOKENS, _NAMES, _forged(short, 10_000)),
        Large("4,000 entries, each with an id that binds it", rows, _OWN, _body(bundle)),
    ]


async def _session(sessions: Sessions, scope: Scope) -> Session:
    return (await sessions.resolve(Needs({scope: 1}, frozenset()))).sealing[scope]


async def _entry(sessions: Sessions, name: str) -> dict[str, str]:
    context = Context(Scope("clinic", name))
    session = await _session(sessions, context.scope)
    return {"id": name, "note": session.seal(b"secret", context).decode()}


def _list(note: str, size: int) -> bytes:
    return _body([{"id": f"m{at}", "note": note} for at in range(size)])


def _forged(token: str, size: int) -> bytes:
    """Return tokens of as many sessions, none of which there was."""
    head, rest = token.split(".", 1)
    text = base64url.decode(head.encode())
    sid = text.partition(b".")[2][:16]
    created = base64url.decode(sid)[:4]
    found = []
    for at in range(size):
        other = base64url.encode(created + at.to_bytes(8))
        found.append(f"{base64url.encode(text.replace(sid, other)).decode()}.{rest}")
    return json.dumps(found).encode()


def _body(entries: list[dict[str, str]]) -> bytes:
    return json.dumps({"entry": entries}).encode()


class _Steps:
    """How long the steps between two pauses take, in milliseconds of this thread."""

    def __init__(self) -> None:
        self.longest = self._last = 0.0
        self.begin()

    def begin(self) -> None:
        """Begin behind what is no part of a slice."""
        self._last = time.thread_time()

    def __call__(self) -> None:
        """Note a pause."""
        now = time.thread_time()
        self.longest = max(self.longest, 1000 * (now - self._last))
        self.begin()


async def _run(large: Large, sessions: Sessions) -> tuple[float, ...]:
    """Return the milliseconds of planning, of finding the keys, of applying, and of a step.

    And those of the way and of a step of it, zeros where it goes none.
    """
    field = Item(large.select, "note", _BOUND)
    keeps = large.select is Whole.TOKENS or large.names is _OWN
    block = Block(decrypt=(field,), names=large.names, keep_unopened=keeps)
    rule = Rule("list", (parse_pattern("GET /list"),), response=(block,))
    head = RequestHead("GET", "/list", None, ())
    decision = RuleTable((rule,), pass_unmatched=True).decide("GET", canonical("/list"))
    exchange, answer = Exchange(decision, head), ResponseHead(200, b"OK", _JSON)
    treatment = treat_response(exchange, answer)
    if not isinstance(treatment, ReadResponse):
        message = "no block takes the response"
        raise TypeError(message)
    steps, times = _Steps(), [time.process_time()]
    with pausing(steps):
        plan = plan_response(exchange, treatment.block, answer, large.body)
        steps()
    times.append(time.process_time())
    keys = await sessions.resolve(plan.needs)
    times.append(time.process_time())
    with pausing(steps):
        steps.begin()
        apply(plan, keys, time.time())
        steps()
    times.append(time.process_time())
    first, second, third = (1000 * (late - early) for early, late in pairwise(times))
    prepared = prepare_response(exchange, treatment, answer)
    if not isinstance(prepared, PreparedJson):
        return first, second, third, steps.longest, 0.0, 0.0
    paced, began = _Steps(), time.process_time()
    with pausing(paced):
        changed = prepared.change(large.body, sessions, time.time(), any_number=True)
        paced()
    took = 1000 * (time.process_time() - began) if changed is not None else 0.0
    return first, second, third, steps.longest, took, paced.longest


if __name__ == "__main__":
    asyncio.run(main())
