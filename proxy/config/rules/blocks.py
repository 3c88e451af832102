"""Blocks as rules write them: conditions, actions, options. None means: not given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ...core.expressions.selectors import JsonSelector, NamedSelector
from ...core.formats.body_format import Kind
from ...core.formats.table import FORMATS
from ...core.http.message import Direction
from ...core.rules.conditions import Condition
from ...core.rules.model import Batching, Nothing, Verdict
from ...core.rules.model import Block as CoreBlock
from ..declared.composed import ByName, ByShape, ListOf, OneOrMore, WithPlace
from ..declared.kinds import Choice, PlainText, Switch, WholeNumber
from ..declared.section import Fields, LazySection, Section, inline, setting
from ..policy import SENTINEL_CHARS
from ..yaml.nodes import Mapping, Place, Problems, Scalar, Sequence, show, suggest
from ..yaml.scalars import elements, text
from .audiences import CALLERS
from .conditions import CONDITIONS, JSON_SELECTOR
from .items import ITEMS, PLAIN, RECORDS, ItemSyntax, PlainSelector, items_in
from .options import BindSyntax, NamesSyntax, OptionsSyntax, bind
from .stream_kinds import BATCH, SENTINELS

if TYPE_CHECKING:  # loaded with rules that search
    from .searches import KeepSyntax, SearchSyntax

_USUAL: Final = CoreBlock()
_ACTIONS: Final = ("encrypt", "decrypt", "search", "plain", "others")


@dataclass(frozen=True, slots=True)
class _Status:
    """Status codes: one, those of a class, or all; as the first and the last."""

    syntax = "`200`, `2xx`, `all` or a list"
    schema = {  # noqa: RUF012 - it is only read
        "anyOf": [
            {"type": "integer", "minimum": 100, "maximum": 599},
            {"type": "string", "pattern": r"^(?:[1-5][0-9]{2}|[1-5]xx|all)$|\$\{env:"},
        ]
    }

    def read(self, place: Place, problems: Problems) -> tuple[int, int] | None:
        """Return the first and the last code."""
        node = place.node
        number = isinstance(node, Scalar) and node.kind == "number"
        word = node.text if isinstance(node, Scalar) and number else text(place, problems)
        if word is None:
            return None
        if word == "all":
            return 100, 599
        if re.fullmatch(r"[1-5]([0-9]{2}|xx)", word):
            return int(word.replace("x", "0")), int(word.replace("x", "9"))
        hint = "for example `200`, `2xx` or `all`"
        problems.add(place, f"{show(word)} is not a status", hint)
        return None


_TYPE: Final = PlainText(
    "media type",
    re.compile(r"[A-Za-z0-9!#$&^_.+-]+/(?:[A-Za-z0-9!#$&^_.+-]+|\*)|\*/\*"),
    "is not a media type",
    "for example `application/json`, without parameters",
    parse=str.lower,
)


@dataclass(frozen=True, slots=True)
class BlockSyntax:
    """A block and its place; a place beside a value is that value's."""

    place: Place
    encrypt: tuple[ItemSyntax, ...] = setting(ITEMS, "What is sealed.", default=())
    decrypt: tuple[ItemSyntax, ...] = setting(ITEMS, "What is opened.", default=())
    search: tuple[SearchSyntax, ...] = setting(
        OneOrMore(LazySection("rules.searches:SEARCH"), "search or list of searches"),
        "What clients search for: the backend gets tags in its place. Only in requests.",
        default=(),
    )
    keep: KeepSyntax | None = setting(
        LazySection("rules.searches:KEEP"),
        "What stays of the answer to a search, once it is opened. Only in responses.",
        absent="all of it",
    )
    plain: tuple[tuple[tuple[PlainSelector, ...], Place], ...] = setting(
        PLAIN,
        "Places of a request that stay plain: a text, a number or a boolean at exactly this path,"
        " where `*` stands for elements of a list, or members that an item goes through; or a form"
        " field, part, or place in JSON of the query (`query:where $.room`). `{a,b}` are several.",
        default=(),
    )
    types: tuple[str, ...] = setting(
        OneOrMore(_TYPE, "media type or list; `text/*`, `*/*`"),
        "The media types that the block applies to.",
        default=(),
        absent="those that its selectors read",
        name="type",
    )
    statuses: tuple[tuple[int, int], ...] = setting(
        OneOrMore(_Status(), _Status.syntax),
        "The response status codes that the block applies to; only on responses.",
        default=(),
        absent="`all`; of a block that only opens, `2xx` and 304",
        name="status",
    )
    names: NamesSyntax = inline(
        NamesSyntax,
        of={
            "where": "read from this message, for each value from its own list element",
            "to_open": " and, with `decrypt` and a `reader`, who must have signed them",
        },
    )
    options: OptionsSyntax = inline(OptionsSyntax)
    bind: BindSyntax | None = bind()
    max_tokens: int = setting(
        WholeNumber(1, 1_000_000),
        "The largest number of tokens that `tokens` opens in one body.",
        default=_USUAL.max_tokens,
    )
    max_values: int = setting(
        WholeNumber(1, 30_000),
        "The largest number of values that are sealed in one message (413, `too-many-values`).",
        default=_USUAL.max_values,
    )
    placeholder: str = setting(
        PlainText(), "The text that replaces a truncated token.", default=_USUAL.placeholder
    )
    nothing: tuple[Nothing, Place] | None = setting(
        WithPlace(Choice("refuse", "pass")),
        "What happens with a message that has a body, a record or a list element without any of the"
        " values: `refuse` answers 400 (a response: 502), `pass` lets it pass and counts it."
        " Required where all items that the block seals are optional, and only there.",
        default=None,
    )
    rendered: tuple[JsonSelector, ...] = setting(
        OneOrMore(JSON_SELECTOR),
        "Values of a response that are HTML even if they contain no tag: what opens in them is"
        " escaped.",
        default=(),
        name="html",
    )
    records: tuple[JsonSelector, Place] | None = setting(
        WithPlace(RECORDS),
        "The body, or a member of it (`one-or-many $.data`), is one record or a list of records."
        " All selectors and names of the block, and the names of its rule in a request, are then"
        " those of a record: `$.content` is read from each.",
        absent="selectors are those of the body",
    )
    when: tuple[Condition, ...] = setting(
        CONDITIONS,
        "The values that a body must have for the block to apply; in bodies of many records, each"
        " record decides for itself.",
        default=(),
    )
    sentinels: tuple[tuple[str, ...], Place] | None = setting(
        WithPlace(SENTINELS),
        "Records that pass unread although they are not JSON, and messages of a WebSocket: those"
        f" that are exactly one of these texts, up to {SENTINEL_CHARS} characters each, with or"
        " without white space around it. An empty list: none.",
        absent="`['[DONE]']` with JSON selectors, else none",
    )
    batch: tuple[Batching, Place] | None = setting(
        WithPlace(BATCH),
        "For responses that are streams of records: strings that the block seals are parts of one"
        " text. Records that follow each other within this time, and differ only in these strings"
        " (and in `id:`), become one record with one token. `end`: without a limit of time.",
        absent="a token for each value",
    )
    renamed: dict[str, str] = setting(
        ByName(PlainText("field"), "mapping of member names to fields"),
        "Where answers name values otherwise than requests: the field of a member. `tokens` that"
        " are bound to their field open by the name of the member that they lie in.",
        make=dict,
        name="names",
    )
    unbound_accepted: bool = setting(
        Switch(),
        "Whether `tokens` may open by names of the answer alone: whoever can write to the backend's"
        " store moves a value with its names, and it opens there.",
        default=False,
        name="accept_unbound",
    )
    callers: tuple[tuple[str, ...], Place] | None = setting(
        CALLERS,
        "Whose requests the rule takes, by the names of callers of the listener; `anyone` is a"
        " client without a credential. Others are refused (403, `caller-may-not-seal`).",
        absent="anyone's; with `decrypt`, in a listener with `callers`, those of every caller",
        name="for",
    )
    format: tuple[Kind, Place] | None = setting(
        WithPlace(Choice(*FORMATS)),
        "The format that bodies are read as, whatever their Content-Type.",
        absent="by the Content-Type",
    )

    @property
    def items(self) -> tuple[ItemSyntax, ...]:
        """What is sealed, then what is opened, then what is searched for."""
        return (*self.encrypt, *self.decrypt, *(one.item for one in self.search))


def _block(
    direction: Direction, values: dict[str, Any], fields: Fields, problems: Problems
) -> BlockSyntax:
    _refuse_misplaced(fields, direction, problems)
    for action in ("encrypt", "decrypt"):
        values[action] = items_in(direction, action, values.get(action, ()), problems)
    if "nothing" in fields.wrong:
        # An unknown word is reported as such, and not as a missing one too.
        values["nothing"] = ("pass", fields["nothing"])
    return BlockSyntax(fields.place, **values)


BLOCKS: Final = {
    direction: Section(
        BlockSyntax,
        "block",
        "A block: what happens with the messages that it applies to",
        make=partial(_block, direction),
        syntax="a block or a list of blocks",
    )
    for direction in ("request", "response")
}

BehaviourSyntax = Verdict | tuple[BlockSyntax, ...]
_VERDICTS: Final = {"request": Choice("pass", "reject"), "response": Choice("pass")}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a rule does in one direction: a verdict, a block, or a list of blocks."""

    direction: Direction

    @property
    def like(self) -> ByShape:
        """How it is written."""
        block = BLOCKS[self.direction]
        return ByShape(_VERDICTS[self.direction], ListOf(block), block)

    @property
    def syntax(self) -> str:
        """How it is written."""
        return f"{_VERDICTS[self.direction].syntax}, a block or a list of blocks"

    def read(self, place: Place, problems: Problems) -> BehaviourSyntax | None:
        """Return the verdict or the blocks."""
        node = place.node
        if isinstance(node, Scalar):
            return _verdict(place, self.direction, problems)
        places = elements(place, problems) if isinstance(node, Sequence) else [place]
        several = len(places) > 1
        found = (self._block(one, problems, several=several) for one in places)
        return tuple(one for one in found if one is not None)

    def _block(self, place: Place, problems: Problems, *, several: bool) -> BlockSyntax | None:
        node = place.node
        if not isinstance(node, Mapping):
            problems.add(
                place,
                "is not a block: a mapping with `encrypt`, `decrypt` or `plain`",
                "for example `{encrypt: $.content}`",
            )
            return None
        if not node.entries or (not several and not _acts(node)):
            problems.add(place, "a block needs `encrypt`, `decrypt` or `plain`")
        made: BlockSyntax | None = BLOCKS[self.direction].read(place, problems)
        if made is not None and (several or made.when or made.records):
            _refuse_head_in_lists(made, problems)
        return made


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
    hint = suggest(word, _VERDICTS[direction].values)
    problems.add(place, f"{show(word)} is unknown", f"{hint}; or a block")
    return None


def _refuse_head_in_lists(block: BlockSyntax, problems: Problems) -> None:
    for selector, place in ((one.selector, one.place) for one in block.items):
        if isinstance(selector, NamedSelector) and selector.of_head:
            problems.add(
                place,
                f"{show(selector.text)} needs a rule with one block, without `when` and `records`:"
                " without a body, nothing tells blocks apart",
            )


def _acts(node: Mapping) -> bool:
    return any(key.text in _ACTIONS for key, _ in node.entries)


def _refuse_misplaced(fields: Fields, direction: Direction, problems: Problems) -> None:
    status, on_error = fields.get("status"), fields.get("on_error")
    for key in ("names", "accept_unbound", "keep") if direction == "request" else ():
        if (one := fields.get(key)) is not None:
            problems.add(one, "only applies to responses", "delete it")
    opens = direction == "response" and fields.get("decrypt") is not None
    for one in (fields.get("escape"), fields.get("html")):
        if one is not None and not opens:
            problems.add(one, "only applies with `decrypt` in a response", "delete it")
    for key in (
        ("plain", "others", "keep_types", "query", "headers", "filenames", "search")
        if direction == "response"
        else ()
    ):
        if (one := fields.get(key)) is not None:
            problems.add(one, "only applies to requests: a response is never closed", "delete it")
    if status is not None and direction == "request":
        problems.add(status, "a request has no status", "delete it")
    if on_error is not None and not opens:
        problems.add(on_error, "only applies with `decrypt` in a response", "delete it")
    expires = fields.get("expires")
    if expires is not None and fields.get("encrypt") is None:
        problems.add(expires, "only applies with `encrypt`", "delete it")
