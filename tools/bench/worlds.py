"""`python -m tools.bench.worlds`: what it costs to hold requests to lists, in pairs of short turns.

The requests of the benchmark are sealed under its own rules, which say `others: pass`, and under
the same with all that the messages hold listed as `plain`, and under `others: seal`. Only what lies
between a head and the sealed body is measured: the rest is the same. Turns of the worlds take each
other's place, so other work on the machine meets all of them. Microseconds of CPU time, the median
of the differences of neighbours, and 95 of 100 medians of draws from them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random  # noqa: TID251 - draws that estimate an interval
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.http.message import RequestHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.transform import PreparedJson, plan_request, prepare_request
from proxy.keys.keyring import keyring
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import MemoryStore
from tests.config.builders import loaded

from .works import Work, works

RULES: Final = Path(__file__).parent / "peers" / "files" / "sealyard.yaml"
WORKS: Final = {"seal": "send", "seal_16k": "send", "chat": "chat", "fhir": "patient"}
"""Kinds of work, and the rule that seals each."""
_WORLDS: Final = ("pass", "refuse", "seal")
TURNS: Final = 400
DRAWS: Final = 1000
_TURN_SECONDS: Final = 0.004
HEAD: Final = """\
version: 1
keys:
  keyring: {file: keyring.jwe, passphrase: {env: P}}
"""


def main() -> None:
    """Measure each kind of work in each world, and print a table."""
    sys.stdout.write("| message | `pass`, µs | `refuse` | `seal` |\n|---|--:|--:|--:|\n")
    for name in WORKS:
        work = works("c-1842")[name]
        for new, title in ((False, work.title), (True, f"{work.title}; a new head")):
            base, closed, sealed = compared(*(sealing(work, one, new=new) for one in _WORLDS))
            sys.stdout.write(f"| {title} | {base:.1f} | {closed} | {sealed} |\n")
            sys.stdout.flush()


def compared(*calls: Callable[[], object]) -> tuple[float, str, str]:
    """Return what the first costs, and how much more each of the others does."""
    for one in calls:
        one()
    began = time.process_time()
    for _ in range(20):
        calls[0]()
    count = max(1, round(_TURN_SECONDS * 20 / max(time.process_time() - began, 1e-6)))
    turns: list[list[float]] = [[] for _ in calls]
    for number in range(TURNS):
        for at in (range(len(calls)), range(len(calls) - 1, -1, -1))[number % 2]:
            began = time.process_time()
            for _ in range(count):
                calls[at]()
            turns[at].append((time.process_time() - began) / count * 1_000_000)
    base, *others = turns
    closed, sealed = (_told(base, one) for one in others)
    return statistics.median(base), closed, sealed


def _told(base: list[float], other: list[float]) -> str:
    more = [after - before for before, after in zip(base, other, strict=True)]
    rng = random.Random(1)  # noqa: S311 - as above
    medians = sorted(statistics.median(rng.choices(more, k=len(more))) for _ in range(DRAWS))
    least, most = medians[DRAWS // 40], medians[-DRAWS // 40]
    return f"{statistics.median(more):+.2f} ({least:+.2f} to {most:+.2f})"


def sealing(work: Work, world: str, *, new: bool) -> Callable[[], object]:
    """Return what seals a message of some work in a world; its keys are known, and so is its head.

    `new`: it has a head of its own.
    """
    rule = _rule(work, world)
    document = yaml.safe_load(HEAD)
    listener = {"name": "api", "listen": "127.0.0.1:8080", "upstream": "http://127.0.0.1:3000"}
    document["listeners"] = [{**listener, "unmatched": "reject", "rules": [rule]}]
    settings = loaded(yaml.safe_dump(document)).settings
    table = RuleTable(settings.listeners[0].rules, pass_unmatched=False)
    headers = tuple((name.encode(), value.encode()) for name, value in work.headers)

    def begun() -> Exchange:
        head = RequestHead(work.method, work.path, None, headers)
        return Exchange(table.decide(work.method, canonical(work.path)), head)

    sessions = Sessions(
        keyring.create("k1", now=int(time.time()), random=os.urandom),
        MemoryStore(time.time),
        SessionSettings(),
        clock=time.time,
        random=os.urandom,
    )
    body = work.body
    asyncio.run(sessions.resolve(plan_request(begun(), body).needs))

    def anew() -> object:
        prepared = prepare_request(begun())
        return prepared.change(body, sessions, 0.0) if isinstance(prepared, PreparedJson) else None

    prepared = prepare_request(begun())
    if not isinstance(prepared, PreparedJson) or anew() is None:
        raise ValueError(f"{work.name}, {world}: this is no message that is prepared")
    return anew if new else lambda: prepared.change(body, sessions, 0.0)


def _rule(work: Work, world: str) -> dict[str, Any]:
    text = RULES.read_text("utf-8").partition("    rules:\n")[2]
    rules = yaml.safe_load(text)
    rule: dict[str, Any] = next(one for one in rules if one["name"] == WORKS[work.name])
    rule |= {"tenant": "const:clinic", "bind": ["tenant", "conversation"]}
    request = rule["request"]
    request["others"] = world
    if world != "pass":
        sealed = request["encrypt"]
        sealed = [sealed] if isinstance(sealed, str) else sealed
        known = {*sealed, rule["conversation"]}
        places = dict.fromkeys(_places(json.loads(work.body), "$"))
        request["plain"] = [one for one in places if one not in known]
        if work.name == "fhir":  # what may name the patient is compared with the path
            also = {"also": ["$.id"], "unrelated": ["$.meta.versionId"]}
            rule["conversation"] = {"from": rule["conversation"], **also}
    if world == "seal":
        rule["response"] = {"decrypt": "tokens"}
    return rule


def _places(value: object, at: str) -> Iterator[str]:
    """Yield the places of the scalars of a document; elements of a list are one place."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _places(one, f"{at}.{name}")
    elif isinstance(value, list):
        for one in value:
            yield from _places(one, f"{at}.*")
    else:
        yield at


if __name__ == "__main__":
    main()
