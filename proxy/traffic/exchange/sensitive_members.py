"""Members that look sensitive and that no rule seals: reported by path and kind, never by value.

A sample of messages is looked at: those with small bodies that are there whole, a few each second.
A path has names that the configuration or our own list of words contains; any other is `*`, since
clients put values into names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from ...core.crypto.token import BASE64_PREFIX, JWE_PREFIX, SHORT_PREFIX
from ...core.expressions.selectors import Any as AnyStep
from ...core.expressions.selectors import Inside, NamedSelector, Selector, Step, Whole
from ...core.formats.json.body import JSON
from ...core.formats.urlencoded import FORM
from ...core.http.message import DIRECTIONS, Direction, Head
from ...core.rules.model import Rule
from ...telemetry.per_second import PerSecond
from ...telemetry.sensitive import is_plain, kind_of_name, kind_of_text
from ..interfaces import Reporter
from ..message_record import MessageRecord
from ..policy import SCANNED_BYTES, SCANNED_DEPTH, SCANNED_FIELDS, SCANNED_NODES, SCANNED_PER_SECOND
from .place_names import known_names
from .uncovered import ANY, PathShapes, kind_of_body

_TOKENS: Final = tuple(one.decode() for one in (JWE_PREFIX, SHORT_PREFIX, BASE64_PREFIX))

Path = tuple[str | int, ...]


class SensitiveMembers:
    """Looks at messages of one listener."""

    __slots__ = (
        "_known",
        "_listener",
        "_reporter",
        "_sample",
        "_selectors",
        "_shapes",
    )

    def __init__(
        self,
        reporter: Reporter,
        listener: str,
        rules: Sequence[Rule],
        shapes: PathShapes,
        clock: Callable[[], float],
    ) -> None:
        self._reporter = reporter
        self._listener = listener
        self._known = known_names(rules)
        self._shapes = shapes
        self._sample = PerSecond(SCANNED_PER_SECOND, clock)
        self._selectors = {
            (one.name, direction): tuple(_selectors(one, direction))
            for one in rules
            for direction in DIRECTIONS
        }

    def takes(self) -> bool:
        """Return whether one more message belongs to the sample."""
        return self._sample.takes()

    def look(
        self, record: MessageRecord, path: str, bodies: Mapping[Direction, tuple[Head, bytes]]
    ) -> None:
        """Report what looks sensitive in the bodies of a message."""
        for direction, (head, body) in bodies.items():
            found: dict[tuple[str, str], None] = {}
            ruled = self._selectors.get((record.rule or "", direction), ())
            for member, kind in exposed(head, body, ruled):
                found[shown(member, self._known), kind] = None
            for name, kind in found:
                self._report(record, path, direction, name, kind)

    def _report(
        self, record: MessageRecord, path: str, direction: Direction, member: str, kind: str
    ) -> None:
        self._reporter.report(
            "member.unruled",
            listener=self._listener,
            rule=record.rule,
            method=record.method,
            shape=self._shapes.shape(path) if record.rule is None else None,
            direction=direction,
            member=member,
            kind=kind,
        )


def exposed(
    head: Head, body: bytes, ruled: Sequence[tuple[Step, ...]]
) -> Iterator[tuple[Path, str]]:
    """Yield path and kind of each member that looks sensitive and that no selector takes.

    `ruled` are the steps of the selectors; an empty one takes the whole body.
    """
    for path, value in () if () in ruled else leaves(head, body)[1]:
        kind = _kind(path, value)
        if kind is not None and not any(_takes(steps, path) for steps in ruled):
            yield path, kind


def leaves(head: Head, body: bytes) -> tuple[str, Iterable[tuple[Path, str]]]:
    """Return the kind of a small body, with path and text of each of its scalars but null.

    There are none where it is neither JSON nor a form; a boolean has no text.
    """
    kind = kind_of_body(head.facts)
    if body and len(body) <= SCANNED_BYTES and b"content-encoding" not in head.facts:
        if kind == JSON.kind:
            return kind, _of_json(body)
        if kind == FORM.kind:
            return kind, _of_form(body)
    return kind, ()


def shown(path: Path, known: frozenset[str]) -> str:
    """Return a path as it may be reported."""
    parts = []
    for one in path:
        if isinstance(one, int):
            parts.append("[*]")
        else:
            parts.append(f".{one if one in known or is_plain(one) else ANY}")
    return f"${''.join(parts)}"


def _kind(path: Path, value: str) -> str | None:
    if not value or value.startswith(_TOKENS):
        return None
    if (looks := kind_of_text(value)) is not None:
        return f"shape: {looks}"
    name = next((one for one in reversed(path) if isinstance(one, str)), "")
    says = kind_of_name(name)
    return None if says is None else f"name: {says}"


def _of_json(body: bytes) -> Iterator[tuple[Path, str]]:
    """Yield path and text of each string and number, up to so many."""
    try:
        # Numbers stay as they are written: to compute one of many digits is slow.
        read = json.loads(body, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return
    waiting: list[tuple[Path, Any]] = [((), read)]
    for _ in range(SCANNED_NODES):
        if not waiting:
            return
        path, value = waiting.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, bool):
            yield path, ""
        elif len(path) < SCANNED_DEPTH and isinstance(value, dict):
            waiting += (((*path, name), one) for name, one in value.items())
        elif len(path) < SCANNED_DEPTH and isinstance(value, list):
            waiting += (((*path, at), one) for at, one in enumerate(value[:SCANNED_FIELDS]))


def _of_form(body: bytes) -> Iterator[tuple[Path, str]]:
    try:
        pairs = parse_qsl(body.decode("latin-1"), max_num_fields=SCANNED_FIELDS)
    except ValueError:
        return
    for name, value in pairs:
        yield (name,), value


def _selectors(rule: Rule, direction: Direction) -> Iterator[tuple[Step, ...]]:
    """Yield the steps of what a rule seals or opens in one direction; none for a whole body."""
    for block in rule.blocks_of(direction):
        for item in block.items:
            yield from _steps(item.selector)


def _steps(selector: Selector) -> Iterable[tuple[Step, ...]]:
    if isinstance(selector, Whole):
        return () if selector is Whole.TOKENS else ((),)
    if isinstance(selector, NamedSelector):
        return () if selector.of_head else ((Step(selector.name),),)
    return (selector.steps,)


def _takes(steps: tuple[Step, ...], path: Path) -> bool:
    """Return whether a selector takes what is at a path, or what that is in."""
    if not steps:
        return True
    first, rest = steps[0], steps[1:]
    if first.key is Inside.JSON:
        return True  # some of the text is sealed: what else it holds is not looked at
    if not path:
        return False
    ends = range(1, len(path) + 1) if first.deep else (1,)
    return any(_fits(first, path[end - 1]) and _takes(rest, path[end:]) for end in ends)


def _fits(step: Step, part: str | int) -> bool:
    return step.key is AnyStep.MEMBER or step.key == part
