"""A target for JSON in strings, fields and parts, and readers of it, each lax in its own way.

`readings` gives every member that one of them finds in a text, so that a fuzzer can look whether a
value that should have been sealed can be read there under the name that was selected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote_plus

import yaml

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import SealyardError
from proxy.core.expressions import routes, selectors
from proxy.core.http.message import Headers, RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.treatment import ReadResponse, treat_response
from proxy.core.rules.model import Block, Item, Rule
from proxy.core.transform import apply, plan_request, plan_response

from . import seeds
from .session import NAMES, NOW, keys

NAME: Final = "note"

# --- Lax readers of a text -----------------------------------------------------------------------

Member = tuple[str, object]
_COMMENT: Final = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/|#[^\n]*', re.DOTALL)
_LAST_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)
_UNQUOTED: Final = re.compile(r'("(?:[^"\\]|\\.)*")|([A-Za-z_$][\w$]*)(?=\s*:)', re.DOTALL)
_TOO_DEEP: Final = 200
"""YAML's reader recurses, and so do others: such texts are left to the tests of the walk."""


class _Pairs(list[Member]):
    """The members of an object, all of them where one occurs twice."""


def readings(text: str) -> Iterator[Member]:
    """Yield each member of the outermost object that some reader finds in a text."""
    if text.count("{") + text.count("[") > _TOO_DEEP:
        return
    plain = text.lstrip("\ufeff\0 \t\r\n\v\f")
    without_comments = _COMMENT.sub(lambda one: one[1] or " ", plain)
    without_commas = _LAST_COMMA.sub(lambda one: one[1] or "", without_comments)
    quoted = _UNQUOTED.sub(lambda one: one[1] or f'"{one[2]}"', without_commas)
    for one in dict.fromkeys((text, plain, without_comments, without_commas, quoted)):
        yield from _of_json(one)
        yield from _of_yaml(one)
    for line in plain.splitlines():
        yield from _of_json(line)


def _of_json(text: str) -> Iterator[Member]:
    """Read one JSON text behind the other, whatever is behind them, and NaN and Infinity too."""
    decoder = json.JSONDecoder(object_pairs_hook=_Pairs, strict=False)
    with suppress(ValueError, RecursionError):
        while text:
            found, end = decoder.raw_decode(text)
            if isinstance(found, _Pairs):
                yield from found
            text = text[end:].lstrip()


def _of_yaml(text: str) -> Iterator[Member]:
    with suppress(yaml.YAMLError, ValueError, TypeError, RecursionError, AttributeError):
        found = yaml.safe_load(text)
        if isinstance(found, dict):
            yield from ((str(name), value) for name, value in found.items())


def is_selected(name: str) -> bool:
    """Tell whether a lax backend takes a name for the selected one."""
    return name.strip(" \t\r\n\0").casefold() == NAME


# --- What holds the text -------------------------------------------------------------------------


class Holder(NamedTuple):
    """A kind of body that holds a text: its selector, its head, and how it is made and read."""

    selector: str
    headers: Headers
    hold: Callable[[str], str]
    read: Callable[[str], str]


_JSON: Final[Headers] = ((b"Content-Type", b"application/json"),)
_FORM: Final[Headers] = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
_PARTS: Final[Headers] = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
_BEFORE: Final = '--of-parts\r\nContent-Disposition: form-data; name="p"\r\n\r\n'
_BEHIND: Final = "\r\n--of-parts--\r\n"

HOLDERS: Final = (
    Holder(
        f"$.p json:$.{NAME}",
        _JSON,
        lambda text: json.dumps({"a": 1, "p": text}),
        lambda body: str(json.loads(body)["p"]),
    ),
    Holder(
        f"$.p json:$.q json:$.{NAME}",
        _JSON,
        lambda text: json.dumps({"p": json.dumps({"q": text}, ensure_ascii=False)}),
        lambda body: str(json.loads(json.loads(body)["p"])["q"]),
    ),
    Holder(
        f"form:p $.{NAME}",
        _FORM,
        lambda text: "a=1&p=" + quote_plus(text),
        lambda body: dict(parse_qsl(body, keep_blank_values=True))["p"],
    ),
    Holder(
        f"part:p $.{NAME}",
        _PARTS,
        lambda text: _BEFORE + text + _BEHIND,
        lambda body: body.removeprefix(_BEFORE).removesuffix(_BEHIND),
    ),
)


def _rule(number: int, holder: Holder) -> Rule:
    selector = selectors.parse_selector(holder.selector)
    item = Item(selector, NAME, frozenset({"tenant", "field"}), optional=True)
    pattern = routes.parse_pattern(f"/{number}")
    sealing, opening = Block(encrypt=(item,)), Block(decrypt=(item,))
    return Rule(f"fuzzed {number}", (pattern,), NAMES, request=(sealing,), response=(opening,))


_BOOK: Final = RuleTable(
    tuple(_rule(number, one) for number, one in enumerate(HOLDERS)), pass_unmatched=False
)


def nested(data: bytes) -> None:
    """No reader finds a selected value in a text that is forwarded, and all of it comes back."""
    if not data:
        return
    number = data[0] % len(HOLDERS)
    holder, text = HOLDERS[number], data[1:].decode("utf-8", "replace")
    body = holder.hold(text).encode()
    head = RequestHead("POST", f"/{number}", None, holder.headers)
    trip = Exchange(_BOOK.decide("POST", canonical(f"/{number}")), head)
    try:
        plan = plan_request(trip, body)
        sealed = apply(plan, keys(plan.needs), NOW).forwardable.body or b""
    except SealyardError:
        return
    sent = holder.read(sealed.decode())
    for name, value in readings(sent):
        if is_selected(name) and seeds.CARD.decode() in str(value):
            raise AssertionError("a reader finds a value that was to be sealed")
    response = ResponseHead(200, b"OK", holder.headers)
    treatment = treat_response(trip, response)
    assert isinstance(treatment, ReadResponse)  # noqa: S101 - the rule reads all responses
    back = plan_response(trip, treatment.block, response, sealed)
    opened = apply(back, keys(back.needs), NOW).forwardable.body or b""
    if json.loads(holder.read(opened.decode())) != json.loads(text):
        raise AssertionError("what was sealed does not come back")


TEXTS: Final = (
    '{"note":"4111-CANARY"}',
    ' {"a":[1, 2.50,{"note":"x"}], "note" : "4111-CANARY" }\n',
    '{"note":{"a":"4111-CANARY"},"b":"\\ud83d\\ude00\\/"}',
    '{"note":["4111-CANARY"],"a":"{\\"note\\":1}"}',
    '{"Note":"4111-CANARY","note":"x"}',
    '{"note":"x","note":"4111-CANARY"}',
    '{"note":"4111-CANARY","note":"x"}',
    '{"n\\u006fte":"4111-CANARY"}',
    '{"note ":"4111-CANARY"}',
    '{"note\\u0000":"4111-CANARY"}',
    '\ufeff{"note":"4111-CANARY"}',
    '{"note":"x"}{"note":"4111-CANARY"}',
    '{"a":1}\n{"note":"4111-CANARY"}',
    '{/* c */"note":"4111-CANARY"}',
    '// {"note":"x"}\n{"note":"4111-CANARY"}',
    '# c\n{"note":"4111-CANARY"}',
    "{'note':'4111-CANARY'}",
    '{note:"4111-CANARY"}',
    "note: 4111-CANARY",
    '{"note":"4111-CANARY",}',
    '{"a":NaN,"note":"4111-CANARY"}',
    '{"a":Infinity,"note":"4111-CANARY"}',
    '{"a":01,"note":"4111-CANARY"}',
    '{"a":0x1,"note":"4111-CANARY"}',
    '{"a":"\t","note":"4111-CANARY"}',
    '{"a":"\\x41","note":"4111-CANARY"}',
    '{"a":"\\ud800","note":"4111-CANARY"}',
    '{"note":"\\ud83d4111-CANARY"}',
    '{"note":"4111-CANARY"',
    '\0{"note":"4111-CANARY"}',
    '[{"note":"4111-CANARY"}]',
    '"{\\"note\\":\\"4111-CANARY\\"}"',
    "",
    "null",
)
"""Texts with one reading, which pass, and texts with a second one for some backend."""


def nested_seeds() -> list[bytes]:
    """Return texts behind the number of what holds them."""
    texts = [one.encode() for one in TEXTS] + seeds.documents()[:60]
    return [bytes((number,)) + one for one in texts for number in range(len(HOLDERS))]
