"""Blocks as rules write them: conditions, actions, options."""

from __future__ import annotations

import re
from typing import Final, cast

from ...core.errors import InvalidExpression
from ...core.expressions.selectors import NamedSelector, parse_json_selector
from ...core.formats.body_format import Kind
from ...core.http.message import Direction
from ...core.rules.conditions import Condition, text_value
from ...core.rules.model import Nothing, Verdict
from ..schema.rule_keys import BLOCK, BODY_FORMATS, MOST_TOKENS, NOTHING
from ..schema.tables import Fields
from ..yaml.nodes import Mapping, Place, Problems, Scalar, Sequence, show, suggest
from ..yaml.scalars import choice, elements, expected, one_or_more, text, texts, whole
from .item_reader import items, json_selectors, selectors
from .option_reader import bind, names, options
from .streams import batch, sentinels
from .syntax import BehaviourSyntax, BlockSyntax


def conditions(place: Place | None, problems: Problems) -> tuple[Condition, ...]:
    """Return the conditions of a block on values of the body."""
    if place is None:
        return ()
    if not isinstance(place.node, Mapping):
        expected(place, "a mapping of selectors and values", problems)
        return ()
    found = (
        _condition(key.text, place.member(key.text, node), problems)
        for key, node in place.node.entries
    )
    return tuple(one for one in found if one is not None)


def _condition(written: str, place: Place, problems: Problems) -> Condition | None:
    if not written.startswith("$"):
        problems.add(
            place, f"{show(written)} is not a JSON selector", "write one that begins with `$`"
        )
        return None
    try:
        selector = parse_json_selector(written)
    except InvalidExpression as error:
        problems.add(place, error.message, error.hint)
        return None
    values = [_value(one, problems) for one in one_or_more(place, problems)]
    known = frozenset(one for one in values if one is not None)
    return Condition(selector, known) if known else None


def _value(place: Place, problems: Problems) -> bytes | None:
    node = place.node
    if isinstance(node, Scalar):
        if node.kind in {"text", "substituted"}:
            return text_value(node.text)
        if node.kind == "number" and node.text.isdecimal():
            return node.text.encode()
        if node.kind == "boolean" and node.text in {"true", "false"}:
            return node.text.encode()
        if node.kind == "broken":
            return None
        problems.add(
            place,
            f"{show(node.text)} is not a text, a whole number, `true` or `false`",
            "quote it if it is a text",
        )
    else:
        expected(place, "a value", problems)
    return None


_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/(?:[a-z0-9!#$&^_.+-]+|\*)|\*/\*")
_STATUS: Final = re.compile(r"[1-5][0-9]{2}")
_STATUS_CLASS: Final = re.compile(r"[1-5]xx")
_ACTIONS: Final = ("encrypt", "decrypt", "absent")


def behaviour(place: Place, direction: Direction, problems: Problems) -> BehaviourSyntax | None:
    """Return the behaviour of a rule in one direction, or None after reporting what is wrong."""
    node = place.node
    if isinstance(node, Scalar):
        return _verdict(place, direction, problems)
    places = elements(place, problems) if isinstance(node, Sequence) else [place]
    several = len(places) > 1
    blocks = [_block(one, direction, several=several, problems=problems) for one in places]
    return tuple(one for one in blocks if one is not None)


def _verdict(place: Place, direction: Direction, problems: Problems) -> Verdict | None:
    word = text(place, problems)
    if word is None:
        return None
    if word == "pass":
        return Verdict.PASS
    if word == "reject" and direction == "request":
        return Verdict.REJECT
    if word == "reject":
        problems.add(place, "a response cannot be rejected", "write `request: reject`")
        return None
    known = ("pass", "reject") if direction == "request" else ("pass",)
    problems.add(place, f"{show(word)} is unknown", f"{suggest(word, known)}; or a block")
    return None


def _block(
    place: Place, direction: Direction, *, several: bool, problems: Problems
) -> BlockSyntax | None:
    if not isinstance(place.node, Mapping):
        problems.add(
            place,
            "is not a block: a mapping with `encrypt`, `decrypt` or `absent`",
            "for example `{encrypt: $.content}`",
        )
        return None
    fields = Fields(place, BLOCK, problems)
    _refuse_misplaced(fields, direction, problems)
    if not place.node.entries or (not several and not _acts(place.node)):
        problems.add(place, "a block needs `encrypt`, `decrypt` or `absent`")
    made = BlockSyntax(
        place,
        encrypt=items(fields.get("encrypt"), "encrypt", direction, problems),
        decrypt=items(fields.get("decrypt"), "decrypt", direction, problems),
        absent=selectors(fields.get("absent"), direction, problems),
        types=_types(fields.get("type"), problems),
        statuses=_statuses(fields.get("status"), problems),
        names=names(fields, problems),
        options=options(fields, problems),
        bind=bind(fields, problems),
        max_tokens=fields.read("max_tokens", whole, problems, low=1, high=MOST_TOKENS),
        placeholder=fields.read("placeholder", text, problems),
        rendered=json_selectors(fields.get("html"), problems),
        format=_format(fields.get("format"), problems),
        when=conditions(fields.get("when"), problems),
        nothing=_nothing(fields.get("nothing"), problems),
        only=_only(fields.get("only"), problems),
        sentinels=sentinels(fields.get("sentinels"), problems),
        batch=batch(fields.get("batch"), problems),
    )
    if several or made.when:
        _refuse_head_in_lists(made, direction, problems)
    return made


def _refuse_head_in_lists(block: BlockSyntax, direction: Direction, problems: Problems) -> None:
    written = [(one.selector, one.place) for one in (*block.encrypt, *block.decrypt)]
    if direction == "response":  # in requests, what any block forbids is forbidden
        written += block.absent
    for selector, place in written:
        if isinstance(selector, NamedSelector) and selector.of_head:
            problems.add(
                place,
                f"{show(selector.text)} needs a rule with one block, without `when`: without a"
                " body, nothing tells blocks apart",
            )


def _acts(node: Mapping) -> bool:
    return any(key.text in _ACTIONS for key, _ in node.entries)


def _refuse_misplaced(fields: Fields, direction: Direction, problems: Problems) -> None:
    status, on_error = fields.get("status"), fields.get("on_error")
    opens = direction == "response" and fields.get("decrypt") is not None
    for one in (fields.get("escape"), fields.get("html")):
        if one is not None and not opens:
            problems.add(one, "only applies with `decrypt` in a response", "delete it")
    if status is not None and direction == "request":
        problems.add(status, "a request has no status", "delete it")
    if on_error is not None and not opens:
        problems.add(on_error, "only applies with `decrypt` in a response", "delete it")
    expires = fields.get("expires")
    if expires is not None and fields.get("encrypt") is None:
        problems.add(expires, "only applies with `encrypt`", "delete it")


def _types(place: Place | None, problems: Problems) -> tuple[str, ...]:
    if place is None:
        return ()
    found: list[str] = []
    for word, at in texts(one_or_more(place, problems), problems):
        if not _TYPE.fullmatch(word.lower()):
            hint = "delete the parameters" if ";" in word else "for example `application/json`"
            problems.add(at, f"{show(word)} is not a media type", hint)
        else:
            found.append(word.lower())
    return tuple(found)


def _format(place: Place | None, problems: Problems) -> tuple[Kind, Place] | None:
    if place is None:
        return None
    word = choice(place, BODY_FORMATS, problems)
    return None if word is None else (word, place)


def _nothing(place: Place | None, problems: Problems) -> tuple[Nothing, Place] | None:
    if place is None:
        return None
    # An unknown word is reported as such, and not as a missing one too.
    return cast("Nothing", choice(place, NOTHING, problems) or "pass"), place


def _only(place: Place | None, problems: Problems) -> tuple[tuple[str, ...], Place] | None:
    if place is None:
        return None
    node = place.node
    places = [] if isinstance(node, Sequence) and not node.items else elements(place, problems)
    return tuple(word for word, _ in texts(places, problems)), place


def _statuses(place: Place | None, problems: Problems) -> tuple[tuple[int, int], ...]:
    if place is None:
        return ()
    found = (_status(one, problems) for one in one_or_more(place, problems))
    return tuple(one for one in found if one is not None)


def _status(place: Place, problems: Problems) -> tuple[int, int] | None:
    node = place.node
    word = (
        node.text if isinstance(node, Scalar) and node.kind == "number" else text(place, problems)
    )
    if word is None:
        return None
    if word == "all":
        return 100, 599
    if _STATUS.fullmatch(word):
        return int(word), int(word)
    if _STATUS_CLASS.fullmatch(word):
        return int(word[0]) * 100, int(word[0]) * 100 + 99
    problems.add(place, f"{show(word)} is not a status", "for example `200`, `2xx` or `all`")
    return None
