"""Why a sealed value may not open: one request for each cause, and how to tell causes apart."""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from secrets import SystemRandom

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import OpenFailed
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import NameSource
from proxy.core.http.message import RequestHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.core.transform import apply, plan_request
from proxy.core.values.key_needs import Needs
from proxy.keys.keyring import poison
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.sessions import session_control
from proxy.keys.sessions.durable import durable_session
from proxy.keys.sessions.sessions import Sessions
from tests.keys.builders import NOW, World, a_keyring, a_world, some_bytes

TENANT, CONVERSATION = NameSource("const", "tenant"), NameSource("const", "conversation")
# The very texts of the rule, as sessions that messages have made hold them: texts that are merely
# equal take some nanoseconds more to compare.
SCOPE = Scope(TENANT.name, CONVERSATION.name)
CONTEXT = Context(SCOPE, field="content")
HEADERS = ((b"Content-Type", b"application/json"),)
_WARMING = 50
_KEPT = 0.8
_PLAINTEXT = b"a value of the usual length, that is some dozens of bytes"


def opening_rules() -> RuleTable:
    """Return a rule that opens a request's value."""
    item = Item(
        parse_selector("$.content"), "content", frozenset({"tenant", "conversation", "field"})
    )
    names = Names(TENANT, CONVERSATION)
    rule = Rule("open", (parse_pattern("POST /open"),), names, request=(Block(decrypt=(item,)),))
    return RuleTable((rule,), pass_unmatched=False)


@dataclass
class Causes:
    """Bodies that do not open, by cause, and the sessions before which they stand."""

    sessions: Sessions
    bodies: dict[str, bytes]
    right: bytes


async def causes() -> Causes:
    """Return one body for each cause of a failed open."""
    keyring = a_keyring("k2")
    world = a_world(keyring=keyring.disable("k2"))
    tokens = {
        "unknown-key": await _sealed_by(a_world(keyring=a_keyring("k9").promote("k9"))),
        "disabled-key": await _sealed_by(a_world(keyring=keyring.promote("k2"))),
        "revoked": await _sealed_by(world),
    }
    world.time.advance(5)
    assert await session_control.revoke(world.sessions, SCOPE, int(world.time()))
    sealing = (await world.sessions.resolve(Needs({SCOPE: 1}))).sealing[SCOPE]
    good = sealing.seal(_PLAINTEXT, CONTEXT)
    made_up = durable_session(keyring.primary, sealing.sid[:4] + bytes(8), SCOPE)
    tokens |= {
        "bad-tag": _flipped(good),
        "made-up": _flipped(made_up.seal(_PLAINTEXT, CONTEXT)),
        "wrong-context": sealing.seal(_PLAINTEXT, Context(SCOPE, field="another")),
        "expired": sealing.seal(_PLAINTEXT, CONTEXT, exp=1_000_000_000),
        "forged-and-expired": _flipped(sealing.seal(_PLAINTEXT, CONTEXT, exp=1_000_000_000)),
        "not-a-token": b"y" * len(good),
        "poison": _poison(keyring, len(_PLAINTEXT)),
    }
    bodies = {name: _body(token) for name, token in tokens.items()}
    return Causes(world.sessions, bodies, _body(good))


def _poison(keyring: Keyring, length: int) -> bytes:
    looks = poison.Looks("jwe", length)
    return poison.make(keyring, NOW - 60, looks, random=some_bytes)[0].encode()


def _flipped(token: bytes) -> bytes:
    return token[:-8] + (b"A" if token[-8:-7] != b"A" else b"B") + token[-7:]


async def _sealed_by(world: World) -> bytes:
    session = (await world.sessions.resolve(Needs({SCOPE: 1}))).sealing[SCOPE]
    return session.seal(_PLAINTEXT, CONTEXT)


def _body(token: bytes) -> bytes:
    return json.dumps({"content": token.decode()}).encode()


@dataclass
class Opener:
    """Tries to open bodies as the handler does, without its sockets.

    A body that is named in `slowed` takes that many seconds more.
    """

    sessions: Sessions
    now: float
    slowed: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rules = opening_rules()

    def seconds(self, name: str, body: bytes) -> float:
        """Return how long a failed open takes."""
        head = RequestHead("POST", "/open", None, HEADERS)
        exchange = Exchange(self._rules.decide("POST", canonical("/open")), head)
        extra = self.slowed.get(name, 0.0)
        began = time.perf_counter()
        try:
            plan = plan_request(exchange, body)
            keys = self.sessions.resolve_warm(plan.needs)
            assert keys is not None
            apply(plan, keys, self.now)
        except OpenFailed:
            while extra and time.perf_counter() < began + extra:
                pass
            return time.perf_counter() - began
        raise AssertionError("it opened")


def samples(opener: Opener, bodies: dict[str, bytes], number: int) -> dict[str, list[float]]:
    """Return `number` durations in all, as many for each body, in an order that nobody chose."""
    found: dict[str, list[float]] = {name: [] for name in bodies}
    names = list(bodies) * (number // len(bodies))
    SystemRandom().shuffle(names)
    gc.disable()  # it would stop whoever comes by
    try:
        for name, body in bodies.items():
            for _ in range(_WARMING):
                opener.seconds(name, body)
        for name in names:
            found[name].append(opener.seconds(name, bodies[name]))
    finally:
        gc.enable()
    return found


def trimmed(values: list[float]) -> list[float]:
    """Return the values without the slowest, which tell of other processes."""
    kept = sorted(values)
    return kept[: int(len(kept) * _KEPT)]


def mean(values: list[float]) -> float:
    """Return the mean."""
    return math.fsum(values) / len(values)


def welch(one: list[float], other: list[float]) -> float:
    """Return Welch's t of two samples."""
    means = mean(one), mean(other)
    errors = [
        math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1) / len(values)
        for values, middle in zip((one, other), means, strict=True)
    ]
    return (means[0] - means[1]) / math.sqrt(math.fsum(errors))


def pairs(found: dict[str, list[float]]) -> Iterator[tuple[str, str, float, float]]:
    """Yield each two causes with Welch's t and the difference of their means in microseconds."""
    kept = {name: trimmed(values) for name, values in found.items()}
    names = list(kept)
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            difference = (mean(kept[one]) - mean(kept[other])) * 1e6
            yield one, other, welch(kept[one], kept[other]), difference
