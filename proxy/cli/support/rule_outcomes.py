"""What became of the values of a message, by their paths, in what goes on with values masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from ...core.crypto.token import has_prefix
from ...core.explain.explanation import Explained, Explanation
from .rule_cases import Case, Expected, WrittenNumber, as_json

_MASK: Final = re.compile(r"<[^<>]*? (?P<outcome>[a-z_]+)(?:, (?P<size>[0-9]+) characters)?>")
_STEP: Final = re.compile(
    r"\.\.(?P<deep>[^.\[\s]+)|\.(?P<star>\*)|\.(?P<name>[^.\[\s]+)|\['(?P<quoted>[^']*)'\]|\[(?P<at>[0-9]+|\*)\]"
)
ABSENT: Final = "absent"
PASSES: Final = "passes"
KEPT: Final = "kept"
_NOTHING: Final = "it was refused, so nothing of it goes on"


def failures(case: Case, explained: Explained) -> Iterator[str]:
    """Yield what of a case is not as expected."""
    expected, request = case.expected, explained.request
    if expected.rule is not None and (request.rule or "") != expected.rule:
        yield f"rule: expected {expected.rule or 'none'}, got {request.rule or 'none'}"
    # The `refused` of a case may mean a message of its WebSocket, which then need not say so too.
    meant = [one for _, one in explained.messages] if expected.refused else []
    each = [request, explained.response, *meant]
    refused = next((one for one in each if one is not None and one.refusal is not None), None)
    if _code(refused) != expected.refused:
        yield f"refused: {_otherwise(expected.refused, refused)}"
        return
    yield from _unlike("request", expected.request, request)
    if expected.response or expected.client is not None:
        if explained.response is None and request.refusal is not None:
            yield "response: not sent, since the request was refused"
        elif explained.response is None:
            yield "response: the case has no `response`"
        else:
            yield from _unlike("response", expected.response, explained.response)
            yield from _other("client", expected.client, explained.response)
    yield from _other("backend", expected.backend, request)
    yield from _messages_unlike(expected, [one for _, one in explained.messages])


def _messages_unlike(expected: Expected, messages: Sequence[Explanation]) -> Iterator[str]:
    """Yield what is not as expected of the messages of a WebSocket, which ends at a refused one."""
    last = f"message {len(messages)}" if messages else "the request"
    for at, one in enumerate(expected.messages):
        outcomes, code = one.expect, one.refused
        where = f"message {at + 1}"
        if at >= len(messages):
            if outcomes or code or not expected.refused:
                yield f"{where}: not sent, since {last} was refused"
        elif (got := _code(messages[at])) != code and got != (expected.refused or code):
            yield f"{where}: {_otherwise(code, messages[at])}"
        else:
            yield from _unlike(where, outcomes, messages[at])


def _otherwise(code: str, one: Explanation | None) -> str:
    why = f": {one.refusal.reason}" if one is not None and one.refusal is not None else ""
    return f"expected {code or 'no refusal'}, got {_code(one) or 'no refusal'}{why}"


def _code(one: Explanation | None) -> str:
    return one.refusal.code if one is not None and one.refusal is not None else ""


def _unlike(where: str, outcomes: Mapping[str, str], one: Explanation) -> Iterator[str]:
    if outcomes and one.refusal is not None:
        yield f"{where}: {_NOTHING}"
        return
    for path, expected in outcomes.items():
        found = sorted(set(outcomes_at(path, one))) or [ABSENT]
        if found != [expected]:
            yield f"{where}: {path}: expected {expected}, got {', '.join(found)}"


def _other(where: str, expected: Any, one: Explanation) -> Iterator[str]:  # noqa: ANN401 - JSON
    if expected is None:
        return
    if one.refusal is not None:
        yield f"{where}: {_NOTHING}"
        return
    text = (one.outgoing or b"").decode("utf-8", "replace")
    same = _same_text(expected, text) if isinstance(expected, str) else _same(expected, _json(text))
    if not same:
        yield f"{where}: expected {_shown(expected)}, got {text}"


def _shown(expected: Any) -> str:  # noqa: ANN401 - JSON
    return expected if isinstance(expected, str) else as_json(expected)


def _same(expected: Any, found: Any) -> bool:  # noqa: ANN401 - JSON
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(
            _same(one, found[name]) for name, one in expected.items()
        )
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(_same, expected, found))
    if isinstance(expected, str) and isinstance(found, str):
        return type(expected) is type(found) and _same_text(expected, found)
    return type(expected) is type(found) and bool(expected == found)


def _same_text(expected: str, found: str) -> bool:
    """Tell whether a text is as expected: `<sealed>` and `<sealed 178>` are any such mask."""
    plain = _MASK.sub(lambda mask: f"<{mask['outcome']}>", found)
    sized = _MASK.sub(lambda mask: f"<{mask['outcome']} {mask['size']}>", found)
    return expected in {found, plain, sized}


def outcomes_at(path: str, one: Explanation) -> list[str]:
    """Return what became of each value at a path."""
    return [_word(value) for value in _values(path, one)]


def sizes_at(path: str, one: Explanation) -> list[int]:
    """Return how many characters each sealed value at a path has."""
    masks = (_MASK.search(value) for value in _values(path, one) if isinstance(value, str))
    return [int(mask["size"]) for mask in masks if mask is not None and mask["size"]]


def _word(value: Any) -> str:  # noqa: ANN401 - JSON
    text = value if isinstance(value, str) else as_json(value)
    mask = _MASK.search(text)
    if mask is not None:
        return mask["outcome"]
    return KEPT if has_prefix(text.encode()) else PASSES


def _values(path: str, one: Explanation) -> list[Any]:
    text = (one.outgoing or b"").decode("utf-8", "replace")
    record = re.match(r"#([0-9]+) ", path)
    if record is not None:
        records = list(_records(text))
        at = int(record[1])
        text = records[at] if at < len(records) else ""
        path = path[record.end() :]
    first, *inside = re.split(r" (?:json:)?(?=\$)", path)
    found = _at(first, text, one)
    for step in inside:
        found = [
            deeper for value in found if isinstance(value, str) for deeper in _at(step, value, one)
        ]
    return found


def _at(path: str, text: str, one: Explanation) -> list[Any]:
    place, _, name = path.partition(":")
    if path.startswith("$"):
        return list(_walk(_json(text), path[1:]))
    if place == "query":
        return _named((one.target or "").partition("?")[2], name)
    if place == "form":
        return _named(text, name)
    if place == "header":
        return [
            value.decode("latin-1") for key, value in one.headers if key.decode().lower() == name
        ]
    if place in {"part", "filename"}:
        return list(_parts(text, place, name))
    return [text] if text else []


def _named(text: str, name: str) -> list[str]:
    return [value for key, value in parse_qsl(text, keep_blank_values=True) if key == name]


def _parts(text: str, place: str, name: str) -> Iterator[str]:
    for part in text.split("\r\n--"):
        head, _, content = part.partition("\r\n\r\n")
        if re.search(rf'[; ]name="?{re.escape(name)}"?(?:;|\r|$)', head):
            named = re.search(r'filename="([^"]*)"', head)
            if place == "part":
                yield content
            elif named is not None:
                yield named[1]


def _records(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("data:"):
            yield line.removeprefix("data:").strip()
        elif line.strip() and not re.match(r"(event|id|retry|:)", line):
            yield line.strip("\x1e")


def _json(text: str) -> Any:  # noqa: ANN401 - JSON
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=0)
    for begin in (0, start):  # a packet of Socket.IO has its numbers before it
        try:
            return json.loads(text[begin:], parse_int=WrittenNumber, parse_float=WrittenNumber)
        except ValueError:
            continue
    return None


def _walk(value: Any, path: str) -> Iterator[Any]:  # noqa: ANN401 - JSON
    if not path:
        yield value
        return
    step = _STEP.match(path)
    if step is None:
        return
    rest = path[step.end() :]
    for inner in _step(value, step):
        yield from _walk(inner, rest)


def _step(value: Any, step: re.Match[str]) -> Iterator[Any]:  # noqa: ANN401 - JSON
    members = value if isinstance(value, dict) else {}
    items = value if isinstance(value, list) else []
    name = step["name"] or step["quoted"]
    if step["deep"] is not None:
        if step["deep"] in members:
            yield members[step["deep"]]
        for inner in (*members.values(), *items):
            yield from _step(inner, step)
    elif step["star"] is not None or step["at"] == "*":
        yield from (*members.values(), *items)
    elif step["at"] is not None:
        at = int(step["at"])
        yield from items[at : at + 1]
    elif name in members:
        yield members[name]
