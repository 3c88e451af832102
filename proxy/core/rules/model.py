"""Rules as values: which messages, and what happens to their requests and responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from dataclasses import field as derived
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ..crypto.token import Form
from ..errors import InvalidExpression
from ..expressions.routes import Pattern
from ..expressions.selectors import JsonSelector, NamedSelector, Selector, Whole
from ..expressions.sources import JsonSource, Source
from ..formats.body_format import Kind, Place
from ..formats.escaping import Escape
from ..formats.table import FORMATS, kinds_with
from ..http.message import Direction
from .audience import CallerAudience, Shown
from .conditions import Condition

if TYPE_CHECKING:  # loaded with fields that have one
    from ..search.model import FieldIndex
    from ..search.queries import FieldSearch

Part = Literal["tenant", "conversation", "field", "message", "purpose"]
PARTS: tuple[Part, ...] = ("tenant", "conversation", "field", "message", "purpose")
Nothing = Literal["refuse", "pass"]
Others = Literal["refuse", "seal", "pass"]
Filenames = Literal["seal", "replace", "plain"]
NamedPart = Literal["tenant", "conversation", "message", "sender", "recipients", "reader"]
NAMED_PARTS: tuple[NamedPart, ...] = (
    "tenant",
    "conversation",
    "message",
    "sender",
    "recipients",
    "reader",
)


@dataclass(frozen=True, slots=True)
class Names:
    """Where the names that bind a message, or choose its keys, are read; None: nowhere."""

    tenant: Source | None = None
    conversation: Source | None = None
    message: Source | None = None
    sender: Source | None = None
    recipients: Source | None = None
    reader: Source | None = None

    def get(self, part: NamedPart) -> Source | None:
        """Return the source of one part."""
        source: Source | None = getattr(self, part)
        return source


EVERY: Final = ""
"""Stands for all fields: none has this name."""


@dataclass(frozen=True, slots=True)
class Item:
    """One selector with how its values are sealed.

    `bind` holds the parts that are bound; `max_chars` counts characters of the sealed value. With
    `min_chars` the value must be a string of at least so many code points (0: any string), with
    `not_blank` one that is more than white space; `trim` takes that from both its ends first.
    `expires` is for how many seconds they open; None: for ever.
    `parties` are those who choose the key of what is end to end: sender and recipients, or reader.
    `framed` says that a body may become a sealed stream, where a token is too small for it.
    `each` takes every occurrence of a name in a form or a query, `elsewhere_allowed` lets the name
    occur in another place of the request as well, unread. `where` are conditions on the
    element that the last `*` of the selector stands for. Such an item is optional, and
    `needed_where` says that an element which meets them must have the value. With an `index`, the
    tags of a value are stored: in the member `tags_member` beside it, or behind its token (None).
    `sought` says that a value is what a client searches for, `seeks` that one in the equal form is.

    `audience` says what callers get of what is opened, and `shown` what the one of this exchange
    gets; None: everybody gets the value. Of what is sealed, `masked` says that somebody gets it as
    a mask, so that none may come back, `handed` that somebody gets its tokens, so that what looks
    like one must open in this place, and `unseen` that the caller does not get the value.
    """

    selector: Selector
    field: str
    bind: frozenset[Part]
    form: Form = "jwe"
    max_chars: int | None = None
    min_chars: int | None = None
    not_blank: bool = False
    trim: bool = False
    optional: bool = False
    purpose: str | None = None
    expires: int | None = None
    framed: bool = True
    parties: frozenset[NamedPart] = frozenset()
    each: bool = False
    elsewhere_allowed: bool = False
    where: tuple[Condition, ...] = ()
    needed_where: bool = False
    sought: FieldSearch | None = None
    seeks: bool = False
    index: FieldIndex | None = None
    tags_member: str | None = None
    audience: CallerAudience | None = None
    shown: Shown | None = None
    masked: bool = False
    handed: bool = False
    unseen: bool = False

    is_special: bool = derived(init=False, repr=False, compare=False)
    """Whether values may be unfit to be sealed, or more is asked of their tokens than to open."""

    def __post_init__(self) -> None:
        """Look at the form once: it is asked for with every value."""
        limits = self.max_chars, self.min_chars, self.expires, self.index
        returns = self.masked or self.handed
        special = self.form != "jwe" or returns or any(one is not None for one in limits)
        object.__setattr__(self, "is_special", special)
        if self.audience is not None and self.shown is None:
            object.__setattr__(self, "shown", "refuse")  # nobody is known yet

    @property
    def withheld(self) -> bool:
        """Whether the caller gets something else than the value."""
        return self.shown is not None and self.shown != "value"

    @property
    def opens(self) -> str:
        """The field of the tokens that it opens; EVERY for those of any field."""
        return EVERY if self.selector is Whole.TOKENS else self.field

    def needs(self, part: NamedPart) -> bool:
        """Whether the values of the item need this name."""
        return part in self.bind or part in self.parties


class Batching(NamedTuple):
    """Values of a stream of records that are parts of one text: how long they are joined.

    `delay` is in seconds; None: until a record comes that is no such part, or the stream ends.
    `ignored` select what may differ among the records that become one.
    """

    delay: float | None
    ignored: tuple[JsonSelector, ...] = ()


class KeptResults(NamedTuple):
    """Which elements of an answer stay where its request has searched.

    `items` selects the lists, `matching` are the searches whose words an element must have, by the
    names of what was searched in. `total` selects counts of elements, which become `null` where an
    element is dropped.
    """

    items: JsonSelector
    matching: tuple[str, ...]
    total: tuple[JsonSelector, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """What happens to the messages of one direction that fit its conditions.

    `types` and `statuses` are empty where the block does not name any. `permissive_until` is in
    seconds since 1970; None is mode `enforce`. `placeholder` replaces cut tokens. `format` is
    what bodies are read as, whatever type they name, `when` what they must contain. `nothing` says
    what happens to messages with none of the values, where all that is sealed is optional.
    `others` says what happens to values of a request that the block neither selects nor reads nor
    lists as `plain`; those that it seals are sealed as `rest` says, but for the booleans of JSON
    where `booleans_pass`. `query` are the names that may occur in the query of a request beside
    those, `headers` those of its headers, in lower case; None: any. The values of `naming` ones may
    name what is sealed. `filenames` says what becomes of those in parts of a request that no item
    selects. `elsewhere_allowed` lets all names of the block occur in other places of a request,
    unread, `cookies_ignored` in cookies. `escape` says how what a response held sealed is written
    into markup, `rendered` selects what is HTML there. `sentinels` are records that pass though
    they are no JSON; None: `[DONE]`, where the block reads JSON. At most `max_values` of one
    message are sealed. `records` is where a body has one record or a list of them, of which
    selectors and names select. `batch` says that what a response's records seal are parts of one
    text, to be joined. `renamed` has the fields of values under other names of members, for tokens
    that open by their place. `accept` is what lax writers send that is read all the same.
    `distinct` are the names of objects that are a part of the fields within. `search` are the
    values of a request that are searched for, `keep` says what stays of the answer; None: all of
    it.
    Of a request, `callers` are those whose messages it takes; None: anyone's.
    """

    encrypt: tuple[Item, ...] = ()
    decrypt: tuple[Item, ...] = ()
    search: tuple[Item, ...] = ()
    names: Names = Names()
    types: tuple[str, ...] = ()
    statuses: tuple[tuple[int, int], ...] = ()
    permissive_until: float | None = None
    keep_unopened: bool = False
    already_sealed: Literal["seal", "keep", "reject"] = "seal"
    case_variants_allowed: bool = False
    elsewhere_allowed: bool = False
    cookies_ignored: bool = False
    max_tokens: int = 10_000
    max_values: int = 10_000
    placeholder: str = "[sealed]"
    escape: Escape = "auto"
    rendered: tuple[JsonSelector, ...] = ()
    format: Kind | None = None
    when: tuple[Condition, ...] = ()
    nothing: Nothing = "pass"
    plain: tuple[JsonSelector | NamedSelector, ...] = ()
    others: Others = "pass"
    rest: Item | None = None
    booleans_pass: bool = False
    query: frozenset[str] | None = None
    naming: frozenset[str] = frozenset()
    headers: frozenset[bytes] | None = None
    filenames: Filenames = "plain"
    sentinels: tuple[str, ...] | None = None
    batch: Batching | None = None
    renamed: Mapping[str, str] = derived(default_factory=dict, hash=False)
    callers: frozenset[str] | None = None
    records: JsonSelector | None = None
    accept: frozenset[str] = frozenset()
    distinct: frozenset[str] = frozenset()
    keep: KeptResults | None = None

    @property
    def seals(self) -> bool:
        """Whether it seals something, be it only what it does not list."""
        return bool(self.encrypt) or self.others == "seal"

    @property
    def items(self) -> tuple[Item, ...]:
        """What is sealed, then what is opened, then what is searched for."""
        return (*self.encrypt, *self.decrypt, *self.search)

    def field_at(self, path: Sequence[str | int]) -> str:
        """Return the field of a value by its place: the last name on the path, `$` without any.

        The name of an object that the block holds distinct is a part of it. Answers may have other
        names for both.
        """
        names = [self.renamed.get(one, one) for one in path if isinstance(one, str)]
        return field_of(names, self.distinct)


def field_of(names: Sequence[str], distinct: AbstractSet[str]) -> str:
    """Return the field of what lies behind some names, the last of which is its own.

    Within a distinct object all names from that of the innermost one on are a part of it; dots in
    them are `~1`, as slashes are in RFC 6901. A name that is spelled as such a field is another.
    """
    if not names:
        return "$"
    above = [at for at, one in enumerate(names[:-1]) if one in distinct]
    if above:
        first, *inner = names[above[-1] :]
        return ".".join((first, *(one.replace("~", "~0").replace(".", "~1") for one in inner)))
    name = names[-1]
    return name.replace(".", "/", 1) if name.partition(".")[0] in distinct else name


class Verdict(Enum):
    """What a rule says of a whole direction without reading the message."""

    PASS = "pass"  # noqa: S105 - a word of the grammar
    REJECT = "reject"


Behaviour = Verdict | tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A route plus what happens to its requests and responses.

    `shuts_on_poison` says that it refuses all messages once somebody tried to open a poison token;
    `observes` that it changes nothing, and reports what it would do. `connections` is the largest
    number of its requests that are under way at the upstream, 0 where only the listener limits it.
    `query` are the names that may occur in the query of a request that no block reads, beside those
    that the rule reads itself, `headers` those of its headers, in lower case; None: any. `naming`
    is as of a block. `callers` are those that its listener verifies, `deciding` the headers by
    which it does, `purposes` the purposes of use that it knows.
    """

    name: str
    patterns: tuple[Pattern, ...]
    names: Names = Names()
    request: Behaviour = Verdict.PASS
    response: Behaviour = Verdict.PASS
    max_body: int = 16 * 1024 * 1024
    shuts_on_poison: bool = False
    observes: bool = False
    connections: int = 0
    query: frozenset[str] | None = None
    naming: frozenset[str] = frozenset()
    headers: frozenset[bytes] | None = None
    callers: tuple[str, ...] = ()
    deciding: tuple[bytes, ...] = ()
    purposes: frozenset[str] = frozenset()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of both directions, none of a direction that passes or is refused unread."""
        return (*self.blocks_of("request"), *self.blocks_of("response"))

    @property
    def indexed(self) -> tuple[Item, ...]:
        """What it seals with tags, by which the backend finds it."""
        sealed = (item for block in self.blocks for item in block.encrypt)
        return tuple(item for item in sealed if item.index is not None)

    @property
    def comparable(self) -> tuple[Item, ...]:
        """What it seals by the index secret: with tags, or in the equal form."""
        sealed = (item for block in self.blocks for item in block.encrypt)
        return tuple(one for one in sealed if one.index is not None or one.form == "equal")

    @property
    def by_caller(self) -> bool:
        """Whether what it answers depends on who asks."""
        opened = (item for block in self.blocks_of("response") for item in block.decrypt)
        asked = (one.callers is not None for one in self.blocks_of("request"))
        return any(one.audience is not None for one in opened) or any(asked)

    def blocks_of(self, direction: Direction) -> tuple[Block, ...]:
        """Return the blocks of one direction, none where it passes or is refused unread."""
        behaviour = self.behaviour(direction)
        return () if isinstance(behaviour, Verdict) else behaviour

    def behaviour(self, direction: Direction) -> Behaviour:
        """Return what the rule does in one direction."""
        return self.request if direction == "request" else self.response


@dataclass(frozen=True, slots=True)
class Placed:
    """An item with the index of its selector in the selection of its kind of body.

    `shared` tells for each source how many leading steps it takes from the element of the selected
    value; where that is none for all of them, all values of the item have one context.
    """

    index: int
    item: Item
    shared: Mapping[JsonSource, int]


def kinds_read(selectors: Sequence[Selector], *, names_in_json: bool) -> frozenset[Kind]:
    """Return the kinds of bodies that selectors read, none where they take any body as a whole.

    `names_in_json` says that names which bind the values are read from JSON. Raises
    InvalidExpression where no body can be read by all selectors.
    """
    places = {place for one in selectors if (place := value_place(one)) is not None}
    if names_in_json:
        places.add("$")
    if len(places) > 1:
        raise InvalidExpression("`$.`, `form:` and `part:` are for different kinds of bodies")
    if places:
        return kinds_with(places.pop())
    return kinds_with("tokens") if Whole.TOKENS in selectors else frozenset()


def value_place(selector: Selector) -> Place | None:
    """Return which values of a body a selector selects; None for a whole body, and for the head."""
    if isinstance(selector, JsonSelector):
        return "$"
    if not isinstance(selector, NamedSelector) or selector.of_head:
        return None
    return "part" if selector.of_parts else "form"


def kinds_read_as(
    kind: Kind, selectors: Sequence[Selector], *, names_in_json: bool
) -> frozenset[Kind]:
    """Return what `kinds_read` does where a rule says that all bodies are of this kind.

    Raises InvalidExpression where the selectors do not read it.
    """
    kinds = kinds_read(selectors, names_in_json=names_in_json)
    is_text = "text" in FORMATS[kind].places
    if Whole.TEXT in selectors:
        fits = kind in kinds or (not kinds and is_text)
        found = kinds & {kind}
    else:
        fits = kind in kinds or (is_text and kinds == kinds_with("tokens"))
        found = frozenset({kind})
    if not fits:
        raise InvalidExpression(f"no selector of the block reads `format: {kind}`")
    return found


def reads_by_type(kind: Kind, block: Block, direction: Direction) -> bool:
    """Return whether a block reads bodies of a kind by their Content-Type alone."""
    body_format = FORMATS[kind]
    named = block.format == kind or not body_format.media_types.isdisjoint(block.types)
    return named or direction == "response" or body_format.typed_requests
