"""Names that requests have, and that the rules which observe them do not list.

A name can be a value. So it is told in full only once there is evidence that it is none: it looks
like a name, is no twin of one that the rule seals or binds values to, its values never looked
sensitive, and requests that succeeded had it, many of them, of several clients. Of others only the
hash of `PlaceNames` is told, and how often they came.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from ...core.compiled.closed_world import ClosedWorld, sealed_fields
from ...core.compiled.rule_table import CompiledRule
from ...core.expressions.name_readings import are_twins
from ...core.expressions.sources import json_sources, name_sources
from ...core.formats.parameters import fields_of_query
from ...core.formats.urlencoded import FORM
from ...core.http.message import RequestHead
from ...core.rules.model import NAMED_PARTS, Rule
from ...telemetry.per_second import PerSecond
from ...telemetry.sensitive import kind_of_name, kind_of_text
from ..policy import (
    LOOKED_AT_PER_SECOND,
    MOST_CLIENTS_TOLD,
    MOST_LOOKED_AT,
    MOST_UNLISTED,
    PROPOSED,
    SCANNED_BYTES,
)
from .place_names import PlaceNames
from .sensitive_members import leaves

Path = tuple[str | int, ...]

_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_.-]{0,63}")
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(slots=True)
class _Unlisted:
    """What was seen of one place; `path` is empty where a name of it looks like none."""

    path: Path
    place: str
    messages: int = 0
    clients: set[str] = field(default_factory=set)
    sensitive: bool = False


@dataclass(slots=True)
class _OfRule:
    rule: Rule
    requests: int = 0
    places: dict[str, _Unlisted] = field(default_factory=dict)


class UnlistedNames:
    """Counts them for one listener, while the process lives. Clients are told apart by a hash."""

    __slots__ = ("_key", "_rules", "_sample")

    def __init__(self, key: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._key = key
        self._sample = PerSecond(LOOKED_AT_PER_SECOND, clock)
        self._rules: dict[str, _OfRule] = {}

    def look(
        self,
        compiled: CompiledRule,
        head: RequestHead,
        body: bytes,
        *,
        client: str,
        places: PlaceNames,
    ) -> None:
        """Count the names of a request that succeeded, if it belongs to the sample.

        `client` has sent it.
        """
        if len(body) > SCANNED_BYTES or not self._sample.takes():
            return
        seen = self._rules.setdefault(compiled.rule.name, _OfRule(compiled.rule))
        seen.rule = compiled.rule
        seen.requests += 1
        found: dict[str, _Unlisted] = {}
        known: dict[Path, _Unlisted] = {}
        for path, value, place in islice(_unlisted(compiled, head, body), MOST_LOOKED_AT):
            alike = tuple("*" if isinstance(one, int) else one for one in path)  # any element
            one = known.get(alike)
            if one is None:
                spelled = places.spelled(path, in_query=place == "?")
                told = path if _look_like_names(path) else ()
                one = known[alike] = found.setdefault(spelled, _Unlisted(told, place))
            one.sensitive = one.sensitive or _looks_sensitive(path, value)
        who = hmac.digest(self._key, b"client\0" + client.encode(), "sha256").hex()[:8]
        for spelled, one in found.items():
            _add(seen.places, spelled, one, who)

    def rows(self, listener: str) -> Iterator[dict[str, Any]]:
        """Yield for each place what may be told of it, for JSON."""
        for rule, seen in self._rules.items():
            taken = list(_taken(seen.rule))
            for spelled, one in seen.places.items():
                yield {
                    "listener": listener,
                    "rule": rule,
                    "place": spelled,
                    "selector": _selector(one, taken) if _is_sure(one, seen.requests) else "",
                    "messages": one.messages,
                    "clients": sorted(one.clients),
                    "sensitive": one.sensitive,
                }


def _looks_sensitive(path: Path, value: str) -> bool:
    name = next((one for one in reversed(path) if isinstance(one, str)), "")
    return (kind_of_name(name) or kind_of_text(value)) is not None


def _add(held: dict[str, _Unlisted], spelled: str, one: _Unlisted, client: str) -> None:
    if spelled not in held and len(held) >= MOST_UNLISTED:
        del held[min(held, key=lambda place: held[place].messages)]
    known = held.setdefault(spelled, one)
    known.messages += 1
    known.sensitive |= one.sensitive
    if len(known.clients) < MOST_CLIENTS_TOLD:
        known.clients.add(client)


def _is_sure(one: _Unlisted, requests: int) -> bool:
    enough = max(PROPOSED.requests, PROPOSED.share * requests)
    return not one.sensitive and one.messages >= enough and len(one.clients) >= PROPOSED.clients


def _unlisted(
    compiled: CompiledRule, head: RequestHead, body: bytes
) -> Iterator[tuple[Path, str, str]]:
    """Yield path, text and place (`$`, `form:`, `?`) of what the rule does not list."""
    if compiled.query is not None and head.query:
        for name, value in fields_of_query(head.query):
            if not compiled.query.lists(name):
                yield (name,), value or "", "?"
    worlds = [one.closed for one in compiled.request if one.closed is not None]
    if not worlds or len(worlds) < len(compiled.request):
        return
    kind, found = leaves(head, body)
    place = "form:" if kind == FORM.kind else "$"
    for path, text in found:
        if not any(_lists(one, path, place) for one in worlds):
            yield path, text, place


def _lists(world: ClosedWorld, path: Path, place: str) -> bool:
    if place == "form:":
        return world.names.knows(str(path[0]))
    # A body may be a list of records, whose places begin within an element.
    in_record = bool(path) and isinstance(path[0], int) and world.json.lists(path[1:])
    return in_record or world.json.lists(path)


def _taken(rule: Rule) -> Iterator[str]:
    """Yield the names of what a rule seals, and of what it binds values to."""
    yield from sealed_fields([rule])
    for pattern in rule.patterns:
        yield from (name for _, name in pattern.names)
    for names in (rule.names, *(block.names for block in rule.blocks)):
        for part in NAMED_PARTS:
            yield from (one.name for one in name_sources(names.get(part)))
            yield from (one.selector.field or "" for one in json_sources(names.get(part)))


def _look_like_names(path: Path) -> bool:
    return all(isinstance(one, int) or _NAME.fullmatch(one) for one in path)


def _selector(seen: _Unlisted, taken: Sequence[str]) -> str:
    """Return a place as a rule lists it; empty for one that must not be told, whatever comes."""
    names = [one for one in seen.path if isinstance(one, str)]
    if not names or any(are_twins(name, other) for name in names for other in taken):
        return ""
    if seen.place != "$":
        return f"{seen.place}{names[0]}"
    made = "$"
    for one in seen.path:
        if isinstance(one, int):
            made += ".*"
        else:
            made += f".{one}" if _PLAIN.fullmatch(one) else f'["{one}"]'
    return made
