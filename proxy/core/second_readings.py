"""What a body must not be, or hold, as well, where a rule seals it.

Frameworks parse by what they are told, by what they see, or try one after the other: Flask with
`force`, Express with a lax `type`, Go and PHP handlers that read the body as they like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from .blueprint import Blueprint
from .errors import BodyTooLarge, ForbiddenValue, UnsupportedBody
from .formats import socketio
from .readings_of_a_name import first_step_of_member, fold_member, leads_to_prototype
from .selectors import JsonSelector

TOLD_MAX: Final = 64 * 1024
"""So long may be what a packet says to begin a connection: tokens of a few KiB stand there."""
_BEGINNING: Final = 256
# Readers of JSON skip blanks and a byte order mark, lax ones comments: of C, of scripts, of markup.
_SKIPPED: Final = re.compile(
    rb"(?:[\s\x00]|\xef\xbb\xbf|/\*.*?\*/|//[^\r\n]*[\r\n]|#[^\r\n]*[\r\n]|<!--.*?-->)*+", re.DOTALL
)
# An object, a list that is no name in brackets (`[a]=1`), markup, a delimiter of parts.
_OTHER: Final = re.compile(rb"\{|\[(?![A-Za-z0-9_.-]*\][=\[])|<|--[^=&\r\n]*[\r\n]")


def refuse_in_form(body: bytes) -> None:
    """Raise UnsupportedBody for a form that begins as JSON, XML or a form in parts does.

    An honest one cannot: its names are words, and what else stands in them is encoded.
    """
    begin = _SKIPPED.match(body).end()  # type: ignore[union-attr]  # it matches nothing as well
    told = body[begin : begin + _BEGINNING]
    if _OTHER.match(told) or _OTHER.match(unquote_to_bytes(told)):
        raise UnsupportedBody(
            "form-reads-otherwise",
            detail="The form could be read as JSON, XML or parts: if it is JSON, give the rule a"
            " block with `format: json`.",
        )


def refuse_in_packets(blueprints: Iterable[Blueprint], body: bytes) -> None:
    """Refuse packets that are no events where they could carry what events would.

    What a client says to connect (a token, say) passes if it has no member of a selected name.

    Raises:
        ForbiddenValue: It has one, is no object, or only a server sends such packets.
        BodyTooLarge: It is longer than TOLD_MAX.
    """
    sealing = [one for one in blueprints if one.block.encrypt]
    if not sealing:
        return
    names = frozenset(map(fold_member, _selected(sealing)))
    for kind, text in socketio.told(body):
        if sealing[0].direction == "request" and (kind != "connect" or text[:1] == b'"'):
            raise ForbiddenValue("packet-of-servers", detail="Only servers send such packets.")
        if len(text) > TOLD_MAX:
            raise BodyTooLarge("packet-too-long")
        if text:
            _refuse_named(text, names)


def _selected(blueprints: Iterable[Blueprint]) -> Iterable[str]:
    for blueprint in blueprints:
        for item in blueprint.block.encrypt:
            if isinstance(item.selector, JsonSelector):
                yield from (one.key for one in item.selector.steps if isinstance(one.key, str))


def _refuse_named(text: bytes, names: frozenset[str]) -> None:
    def look(pairs: list[tuple[str, object]]) -> None:
        for name, _ in pairs:
            leads = leads_to_prototype(name, "{", 0)
            if leads or fold_member(name) in names or first_step_of_member(name) in names:
                raise ForbiddenValue(
                    "name-in-packet",
                    detail="A name that the rule selects stands in a packet that is no event.",
                )

    json.JSONDecoder(object_pairs_hook=look, parse_int=len, parse_float=len).decode(text.decode())
