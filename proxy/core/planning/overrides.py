"""`_method`: the field by which Rails, Laravel, Symfony and Express let a form ask for a method.

Where that method would lead to another rule, such a field is a way around the rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ..compiled.request_names import METHOD_FIELD
from ..compiled.rule_table import RuleTable
from ..errors import AmbiguousRequest, SealyardError, UnsupportedBody
from ..expressions.selectors import NamedSelector
from ..formats.multipart.reader import Part
from ..formats.multipart.selection import PartSelection
from ..formats.table import FORMATS, kind_of
from ..http.message import RequestHead, media_type
from ..http.path import CanonicalPath, canonical

_INDEX: Final = frozenset({0})
_NAMED: Final = {
    kind: one.selection.of((NamedSelector("form", METHOD_FIELD),), _INDEX, frozenset())
    for kind, one in FORMATS.items()
    if "form" in one.places
}
_PARTS: Final = PartSelection({0: NamedSelector("part", METHOD_FIELD)}, 1, _INDEX)


def may_ask_in_body(head: RequestHead) -> bool:
    """Tell whether a request has a body in which backends look for the field."""
    try:
        kind = kind_of(media_type(head.facts))
    except UnsupportedBody:
        return True  # its type is malformed
    return kind is not None and (kind in _NAMED or FORMATS[kind].in_parts)


def refuse_in_body(head: RequestHead, body: bytes) -> None:
    """Raise AmbiguousRequest where a form has the field; raise as forms do that cannot be read."""
    kind = kind_of(media_type(head.facts))
    if kind is None:
        return
    if kind in _NAMED:
        found = _NAMED[kind].find(body)
        asked = bool(found.found[0] or found.variants)
    elif FORMATS[kind].in_parts:
        parts = _PARTS.find(body, head.facts.get(b"content-type", ()))
        asked = bool(parts.found[0] or parts.variants)
    else:
        return
    if asked:
        raise AmbiguousRequest("method-override")


def refuse_in_part(part: Part) -> None:
    """Raise AmbiguousRequest where a part of a form is the field."""
    found = _PARTS.new_findings()
    _PARTS.take(part, found)
    if found.found[0] or found.variants:
        raise AmbiguousRequest("method-override")


REROUTING: Final = frozenset(
    {
        b"x-forwarded-path",
        b"x-forwarded-uri",
        b"x-forwarded-url",
        b"x-http-destinationurl",
        b"x-http-path-override",
        b"x-original-uri",
        b"x-original-url",
        b"x-override-url",
        b"x-proxy-url",
        b"x-rewrite-url",
    }
)
"""Headers that frameworks take for the path."""

_ADDRESS: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//[^/?#]*", re.IGNORECASE)


def refuse_rerouting(
    rule_table: RuleTable, path: CanonicalPath, query: str | None, values: Iterable[bytes]
) -> None:
    """Raise AmbiguousRequest where one of these headers names another address, and a rule minds.

    It does where it takes requests to one of the two paths; where the other is none that can be
    told, it may be any.
    """
    for value in values:
        there, _, asked = _ADDRESS.sub("", value.decode("latin-1").strip(), count=1).partition("?")
        try:
            other = canonical(there if there.startswith("/") else f"/{there}")
        except SealyardError:
            raise AmbiguousRequest("rerouting-header") from None
        if other.text == path.text and asked == (query or ""):
            continue
        if rule_table.rules_path(path) or rule_table.rules_path(other):
            raise AmbiguousRequest("rerouting-header")
