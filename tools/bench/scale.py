"""How the cost of a message grows: with its fields, its body, the rules, and the conversations."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from . import load
from .cells import Pace, say
from .check import must_seal
from .peers import Peer, Place, sealyard
from .peers.base import fill
from .results import Cell, Curve, Point
from .running import Running, started
from .works import CONNECTIONS, CONVERSATION, Work, a_message, a_text, posting

_FIELD_CHARS: Final = 32
_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """At which places each curve is measured."""

    fields: tuple[int, ...] = (1, 10, 100, 1000)
    bodies: tuple[int, ...] = (64, 1 << 10, 1 << 14, 1 << 17, 1 << 20, 1 << 23)
    rules: tuple[int, ...] = (1, 10, 100, 1000, 10_000)
    conversations: tuple[int, ...] = (1, 100, 5_000)


QUICK: Final = Sizes((10,), (1 << 10,), (100,), (100,))


_Cost = Callable[[Running, Work, int], float]


@dataclass(frozen=True, slots=True)
class _Spot:
    """A point that is to be measured: `cost` returns the CPU time of a message in µs."""

    curve: str
    x: int
    cost: Callable[[], float]


_TITLES: Final = {
    "fields": ("Fields", "fields of 32 characters, each sealed and opened"),
    "bodies": ("Body", "bytes of the body, nearly all of it one field"),
    "rules": ("Rules", "rules, of which the last matches"),
    "conversations": ("Conversations", "conversations in rotation, with cached keys"),
}


def measure(backend: int, sizes: Sizes, pace: Pace) -> list[Curve]:
    """Measure every curve through the proxy, point after point, round after round."""
    with ExitStack() as stack:
        spots = _spots(stack, backend, sizes)
        points = [Point(spot.x, []) for spot in spots]
        for turn in range(0 if pace.quick else -1, pace.rounds):
            for spot, point in zip(spots, points, strict=True):
                cost = spot.cost()
                if turn >= 0:  # the round before the first warms up
                    point.costs.append(cost)
            say(f"curves: round {turn + 1} of {pace.rounds} done")
    return [
        Curve(name, *title, [p for p, s in zip(points, spots, strict=True) if s.curve == name])
        for name, title in _TITLES.items()
    ]


def workers(backend: int, pace: Pace) -> list[Cell]:
    """Measure one worker against two, in both forms of Sealyard, none kept to a core."""
    work = _message(a_message(1024))
    forms = [peer for peer in sealyard.FORMS if not peer.absent()]
    with ExitStack() as stack:
        ready = [
            stack.enter_context(started(with_workers(form, count), backend))
            for form in forms
            for count in (1, 2)
        ]
        for running in ready:
            must_seal(running, backend, work)
        cells = [Cell(running.peer.name, "workers", work.name) for running in ready]
        for _ in range(pace.rounds):
            for running, cell in zip(ready, cells, strict=True):
                cell.samples.append(load.run(running, work, CONNECTIONS, _SECONDS))
    return cells


def _spots(stack: ExitStack, backend: int, sizes: Sizes) -> list[_Spot]:
    def start(rules: int) -> Running:
        return stack.enter_context(started(_with_rules(rules), backend))

    def spot(curve: str, x: int, running: Running, work: Work, cost: _Cost) -> _Spot:
        must_seal(running, backend, work)
        return _Spot(curve, x, lambda: cost(running, work, _SECONDS))

    plain, alone = start(1), load.cost_one_by_one
    numbered = _message(a_message(1024, conversation=f"c-{CONVERSATION}"))
    usual = _message(a_message(1024))
    return [
        *(spot("fields", n, plain, _with_fields(n), alone) for n in sizes.fields),
        *(spot("bodies", n, plain, _message(_of_size(n)), alone) for n in sizes.bodies),
        *(spot("rules", n, start(n), usual, _cost) for n in sizes.rules),
        *(
            spot("conversations", n, plain, replace(numbered, conversations=n), _cost)
            for n in sizes.conversations
        ),
    ]


def _cost(running: Running, work: Work, seconds: int) -> float:
    return 1e6 / load.run(running, work, CONNECTIONS, seconds).per_cpu_second


def _of_size(size: int) -> bytes:
    """Return the shortest message of that many bytes that names its conversation."""
    message = {"conversationId": "c-1", "content": ""}
    message["content"] = a_text(size - len(json.dumps(message)))
    return json.dumps(message).encode()


def _message(body: bytes) -> Work:
    return posting("seal", f"{len(body)} bytes", "/api/messages", body)


def _with_fields(count: int) -> Work:
    fields = {f"field{number}": a_text(_FIELD_CHARS) for number in range(count)}
    body = json.dumps({"conversationId": "c-1", "fields": fields}).encode()
    secrets = (a_text(_FIELD_CHARS),) * count
    return Work("fields", f"{count} fields", "sealed", "/api/forms", body, secrets)


def _with_rules(count: int) -> Peer:
    """Return a Sealyard with so many rules, of which those that match stand last."""

    def prepare(place: Place) -> list[str]:
        sealyard.prepare_keys(place)
        others = "".join(_OTHER_RULE.format(number) for number in range(count - 1))
        fill("sealyard_scale.yaml", place, others=others).rename(_configuration(place))
        return sealyard.serving(place)

    name = f"Sealyard with {count:,} rules"
    return Peer(name, frozenset(), lambda: None, sealyard.version, prepare)


def with_workers(form: Peer, count: int) -> Peer:
    """Return the same Sealyard with so many workers, not kept to one core."""

    def prepare(place: Place) -> list[str]:
        return [*form.prepare(place), "--workers", str(count)]

    name = f"{form.name}, {count} worker{'s' * (count > 1)}"
    return replace(form, name=name, prepare=prepare, single=False)


def _configuration(place: Place) -> Path:
    return place.folder / "sealyard.yaml"


_OTHER_RULE: Final = """
      - name: other {0}
        match: POST /api/other{0}/{{id}}/messages
        conversation: path:id
        request: {{encrypt: $.content}}
"""
