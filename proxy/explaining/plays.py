"""What is played for each rule without any message: answers that backends give sooner or later.

A request is derived from the rule. Where it would not pass, as its names are in a token or its body
is of another kind, the rule is not played: nothing is said of what is not known.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from ..config.settings import ListenerSettings
from ..core.callers import ANYONE, VerifiedCaller
from ..core.compiled.rule_table import RuleTable
from ..core.compiled.views import reader
from ..core.errors import TrafficError
from ..core.explain.explanation import PlayedAnswer, Wanted
from ..core.expressions.routes import Pattern
from ..core.expressions.selectors import Any as AnyMember
from ..core.expressions.selectors import JsonSelector, NamedSelector, Selector
from ..core.expressions.sources import JsonSource, NameSource, Source, json_sources, name_sources
from ..core.http.message import Headers
from ..core.rules.model import NAMED_PARTS, Block, Rule, Verdict
from .policy import PLAYED_CHARS, PLAYED_RULES
from .trial import explain

_JSON: Final = ((b"Content-Type", b"application/json"),)
_TEXT: Final = "text"
_CURES: Final = {
    "not-a-token": "migrate old rows, or write `on_error: keep`, or `mode: permissive until` a day",
    "missing-value": "write `optional` before what an answer may lack",
    "response-fits-no-block": "meant where nothing may pass unsealed; else give it a block",
}


def played(listener: ListenerSettings) -> list[str]:
    """Return what would end in 5xx, rule by rule, in the words of a finding."""
    table = RuleTable(listener.rules, pass_unmatched=listener.pass_unmatched)
    return [
        f"{listener.name} / {rule.name}: {found}"
        for rule in listener.rules[:PLAYED_RULES]
        if rule.blocks_of("response") and not rule.observes
        for found in _of_rule(listener, rule, table)
    ]


def _of_rule(listener: ListenerSettings, rule: Rule, table: RuleTable) -> Iterator[str]:
    asked = _request(rule)
    if asked is None or isinstance(rule.response, Verdict):
        return
    if _refusal(listener, replace(asked, answer=PlayedAnswer(204)), table) is not None:
        return
    told: set[str] = set()
    for what, answer in _answers(rule.response):
        reason = _refusal(listener, replace(asked, answer=answer), table)
        if reason is not None and reason not in told:
            told.add(reason)
            cure = _CURES.get(reason, "docs/reference/reasons.md says what to do")
            yield f"{what} ends in 502 (`{reason}`): {cure}"


def _refusal(listener: ListenerSettings, wanted: Wanted, table: RuleTable) -> str | None:
    """Return why a message is refused, None where it is not."""
    try:
        told = asyncio.run(explain(listener, wanted, table=table))
    except TimeoutError:
        return "timeout"
    for side in (told.request, told.response):
        if side is not None and side.refusal is not None:
            refusal = side.refusal
            return refusal.reason if isinstance(refusal, TrafficError) else refusal.code
    return None


def _answers(blocks: Iterable[Block]) -> Iterator[tuple[str, PlayedAnswer]]:
    """Yield answers of a backend, each with what it is."""
    for block in blocks:
        opened = _document((one.selector for one in block.decrypt), "a row of before")
        if opened:
            yield "an answer with a value that was never sealed", _answer(200, opened)
    yield "an answer without any of the values", _answer(200, {})
    yield "an empty list", _answer(200, [])
    yield "a refusal of the backend (400)", _answer(400, {"error": "not valid"})
    page = PlayedAnswer(404, ((b"Content-Type", b"text/html"),), b"<h1>Not found</h1>")
    yield "a page in place of JSON (404)", page


def _answer(status: int, document: object) -> PlayedAnswer:
    return PlayedAnswer(status, _JSON, json.dumps(document).encode())


def _request(rule: Rule) -> Wanted | None:
    """Return a request that a rule takes; None where none can be derived."""
    pattern = next((one for one in rule.patterns if not one.websocket), None)
    if pattern is None or (isinstance(rule.request, tuple) and len(rule.request) != 1):
        return None
    block = rule.request[0] if isinstance(rule.request, tuple) else Block()
    sources = [one for part in NAMED_PARTS for one in _sources(rule, block, part)]
    claims = {"jwt-unverified", "caller"}
    if any(isinstance(one, NameSource) and one.place in claims for one in sources):
        return None
    selectors: list[Selector] = [one.selector for one in block.items]
    selectors += [one.selector for one in sources if isinstance(one, JsonSource)]
    if block.decrypt or not all(isinstance(one, JsonSelector) for one in selectors):
        return None
    least = max((one.min_chars or 0 for one in block.items), default=0)
    document = _document(selectors, _TEXT * max(1, min(least, PLAYED_CHARS)))
    for condition in block.when:
        document = _put(document, condition.selector, _value(condition.values))
    method = min(pattern.methods - {"HEAD"}, default="POST")
    body = json.dumps(document).encode() if document else b""
    headers: Headers = _JSON if body else ()
    query = "&".join(
        f"{one.name}=a" for one in sources if isinstance(one, NameSource) and one.place == "query"
    )
    headers += tuple(
        (one.name.encode(), b"a")
        for one in sources
        if isinstance(one, NameSource) and one.place == "header"
    )
    wanted = Wanted(method, _path(pattern) + (f"?{query}" if query else ""), headers, body)
    return for_reader(rule, wanted)


def for_reader(rule: Rule, wanted: Wanted) -> Wanted:
    """Return a message as the caller sends it that gets most of its rule."""
    name = reader(rule)
    if name is None:
        return wanted
    opened = (item.audience for block in rule.blocks_of("response") for item in block.decrypt)
    headers = {one.purpose for one in opened if one is not None and one.purpose is not None}
    stated = tuple((one.encode(), min(rule.purposes).encode()) for one in headers)
    caller = None if name == ANYONE else VerifiedCaller(name)
    return replace(wanted, caller=caller, headers=(*wanted.headers, *stated))


def _sources(rule: Rule, block: Block, part: Any) -> Iterator[NameSource | JsonSource]:  # noqa: ANN401 - a part by its name
    source: Source | None = block.names.get(part) or rule.names.get(part)
    yield from json_sources(source)
    yield from name_sources(source)


def _path(pattern: Pattern) -> str:
    segments = ["a" if one is None else one for one in pattern.segments]
    return "/" + "/".join([*segments, *(["a"] if pattern.rest else [])])


def _value(values: frozenset[bytes]) -> object:
    first = min(values)
    try:
        return json.loads(first)
    except ValueError:
        return first.decode()


def _document(selectors: Iterable[Selector], value: object) -> Any:  # noqa: ANN401 - a JSON value
    """Return a JSON value in which each selector selects `value`; None where there is none."""
    document: Any = None
    for selector in selectors:
        if isinstance(selector, JsonSelector) and not any(one.deep for one in selector.steps):
            document = _put(document, selector, value)
        elif isinstance(selector, NamedSelector):
            return None
    return document


def _put(document: Any, selector: JsonSelector, value: object) -> Any:  # noqa: ANN401 - a JSON value
    """Return a document with a value at a place; it is left as it is where the place is no path."""
    return _set(document, [step.key for step in selector.steps], value)


def _set(document: Any, keys: list[Any], value: object) -> Any:  # noqa: ANN401 - a JSON value
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(key, str):
        members = document if isinstance(document, dict) else {}
        return {**members, key: _set(members.get(key), rest, value)}
    if isinstance(key, AnyMember) or key == 0:
        elements = document if isinstance(document, list) and document else [None]
        return [_set(elements[0], rest, value)]
    return document
