"""What rules, blocks and `defaults` have in common: sources, binds, and options.

None means: not given.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

from ...core.errors import InvalidExpression
from ...core.expressions.selectors import (
    JsonSelector,
    Selector,
    parse_json_selector,
    parse_selector,
)
from ...core.expressions.sources import (
    AskSource,
    ComposedSource,
    FirstSource,
    JsonSource,
    ListSource,
    MembersSource,
    NameSource,
    SameSource,
    Source,
    json_sources,
    parse_ask,
    parse_name,
    parse_source,
)
from ...core.formats.escaping import ESCAPES, Escape
from ...core.rules.model import PARTS, Filenames, NamedPart, Others, Part
from ..declared.composed import ByName, ByShape, ListOf, Named, OneOrMore, WithPlace, Words
from ..declared.kinds import DAY, Choice, Duration, Kind, PlainText
from ..declared.section import Fields, Key, Section, one_of, setting
from ..yaml.nodes import Place, Problems, show

Joined = ListSource | MembersSource | FirstSource


def _outside(written: str) -> NameSource | ComposedSource:
    """Return a source outside the body; raise InvalidExpression for another."""
    source = parse_name(written)
    if any(True for _ in json_sources(source)):
        told = f"{show(written)} is read from the body"
        raise InvalidExpression(told, hint="write it in place of the mapping, or under `also`")
    assert not isinstance(source, JsonSource)  # noqa: S101 - as was just looked at
    return source


def _asked(written: str) -> AskSource:
    """Return what asks for a name that is yet to be selected; raise InvalidExpression."""
    return parse_ask(written, JsonSelector("$", ()))


def _joined(kind: Callable[[tuple[Source, ...]], Joined]) -> ListOf:
    return ListOf(SOURCE, "list of sources", make=lambda parts: kind(parts) if parts else None)


def _written() -> Kind:
    return ByShape(PlainText("source", parse=parse_name), _joined(ListSource), SOURCES)


SOURCE: Final = Named("source", _written, "source")


@dataclass(frozen=True, slots=True)
class _Sources:
    """Sources that are joined, or one with places that name the same thing."""

    joined: Joined | NameSource | ComposedSource | AskSource = one_of(
        Key("members", _joined(MembersSource), "All of them, in an order that does not matter."),
        Key("first", _joined(FirstSource), "The first one that has a value."),
        Key(
            "from",
            PlainText("source", parse=_outside),
            "One outside the body, such as `path:room`.",
        ),
        Key(
            "ask",
            PlainText("`GET /path/{label}`", parse=_asked),
            "One that the request lacks: the backend is asked, with the headers of the request and"
            " at most every five seconds. `{id}` is a label of the path, `{query:id}` a name of the"
            " query. An answer other than 2xx refuses the request; with `select`.",
        ),
    )
    also: tuple[NameSource | JsonSource, ...] = setting(
        ListOf(PlainText("source", parse=parse_source), "list of sources"),
        "With `from` and `ask`: places of a request that name the same thing. Where they have a"
        " name, it must be equal (400). `select` of `ask` is one of them.",
        default=(),
    )
    unrelated: tuple[Selector, ...] = setting(
        ListOf(PlainText("selector", parse=parse_selector), "list of selectors"),
        "With `from` and `ask`: plain places, or names of the query (`query:name`), that look like"
        " the same thing and are not.",
        default=(),
    )
    select: JsonSelector | None = setting(
        PlainText("JSON selector", parse=parse_json_selector, pattern=r"\$[\s\S]*"),
        "With `ask`: where the answer has the name. The answer to the request is compared with it.",
        absent="required with `ask`",
    )


def _source(values: dict[str, Any], fields: Fields, problems: Problems) -> Source | None:
    joined: Joined | NameSource | ComposedSource | AskSource | None = values.get("joined")
    also, unrelated = values.get("also", ()), values.get("unrelated", ())
    select, said = values.get("select"), fields.get("select")
    if isinstance(joined, AskSource):
        if select is None:
            problems.add(fields["ask"], "lacks `select`", "for example `select: $.conversationId`")
            return None
        asked = dataclasses.replace(joined, selector=select)
        return SameSource(asked, (JsonSource(select), *also), unrelated)
    if said is not None:
        problems.add(said, "only applies with `ask`", "delete it")
    if isinstance(joined, NameSource | ComposedSource):
        return SameSource(joined, also, unrelated)
    for key in ("also", "unrelated"):
        if (one := fields.get(key)) is not None:
            problems.add(one, "only applies with `from` and `ask`", "delete it")
    return joined


SOURCES: Final[Section[Any]] = Section(
    _Sources,
    "sources",
    "A source made of others; a plain list of sources is joined in order",
    make=_source,
)


@dataclass(frozen=True, slots=True)
class SourceSyntax:
    """A source and its place."""

    source: Source
    place: Place


def _name(doc: str) -> Any:  # noqa: ANN401 - as `setting`
    return setting(WithPlace(SOURCE, SourceSyntax), doc, default=None)


@dataclass(frozen=True, slots=True)
class NamesSyntax:
    """The sources of a rule or a block."""

    tenant: SourceSyntax | None = _name("The tenant whose keys are used; {where}.")
    conversation: SourceSyntax | None = _name("The conversation whose key is used; {where}.")
    message: SourceSyntax | None = _name("The message id that values can be bound to; {where}.")
    sender: SourceSyntax | None = _name(
        "The participant who signs key packages{to_open}; with `recipients`; {where}."
    )
    recipients: SourceSyntax | None = _name(
        "The participants for whom values are sealed end to end, one per element of a list;"
        " {where}."
    )
    reader: SourceSyntax | None = _name(
        "The participant whose private key opens end-to-end values; {where}."
    )

    def get(self, part: NamedPart) -> SourceSyntax | None:
        """Return the source of one part."""
        source: SourceSyntax | None = getattr(self, part)
        return source


@dataclass(frozen=True, slots=True)
class BindSyntax:
    """The parts of a `bind` and its place."""

    parts: frozenset[Part]
    place: Place


BIND: Final = WithPlace(
    ListOf(
        Choice(*PARTS),
        f"list of {Choice(*PARTS).syntax}",
        distinct=lambda part: part,
        make=lambda parts: frozenset(parts) or None,
    ),
    BindSyntax,
)


def bind() -> Any:  # noqa: ANN401 - as `setting`
    """Declare the key `bind`."""
    return setting(
        BIND,
        "What a sealed value is bound to: it opens only if all of these are the same.",
        absent="`[tenant, conversation, field]`, without those that the rule does not give",
    )


def expires() -> Any:  # noqa: ANN401 - as `setting`
    """Declare the key `expires`: seconds, 0 for ever."""
    return setting(
        Words({"never": 0.0}, Duration(high=3650 * DAY)),
        "How long sealed values open; after that they are refused for good. The actual time may be"
        " up to 1 % longer. Not available in the form `short`.",
        absent="`never`",
    )


@dataclass(frozen=True, slots=True)
class Mode:
    """`enforce`, `observe`, or `permissive` until a moment in seconds since 1970."""

    permissive_until: float | None = None
    observes: bool = False


_UNTIL: Final = re.compile(r"permissive until ([0-9]{4}-[0-9]{2}-[0-9]{2})")


def _mode(word: str) -> Mode:
    if word in {"enforce", "observe"}:
        return Mode(observes=word == "observe")
    match = _UNTIL.fullmatch(word)
    if match is None:
        begun = word.startswith("permissive")
        told = f"{show(word)} is not a mode; one of: enforce, observe, permissive until YYYY-MM-DD"
        raise InvalidExpression(
            told, hint="for example `permissive until 2027-03-31`" if begun else ""
        )
    try:
        day = datetime.strptime(match[1], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        told = f"{show(match[1])} is not a calendar day"
        raise InvalidExpression(told, hint="for example `2027-03-31`") from None
    return Mode(day.timestamp())


_HEADER: Final = re.compile(r"[A-Za-z0-9-]+")


def _low(name: str) -> bytes:
    return name.lower().encode()


def _object_name(written: str) -> str:
    """Return the name by which an object makes fields distinct; raise InvalidExpression."""
    name = parse_json_selector(written).field if written.startswith("$") else None
    if name is None:
        raise InvalidExpression(f"{show(written)} names no object", hint="write `$.name`")
    return name


AlreadySealed = Literal["seal", "keep", "reject"]


@dataclass(frozen=True, slots=True)
class NamedInQuery:
    """What a name of the query names as well, and the place where that is said."""

    place: Place
    part: NamedPart = setting(
        Choice("tenant", "conversation", "message"),
        "What the name says: the rule's own source of it must be outside of bodies and is compared"
        " with it (400); without one, it is read here.",
        name="as",
    )


def _in_query(values: dict[str, Any], fields: Fields, _: Problems) -> NamedInQuery | None:
    return NamedInQuery(fields.place, **values) if values else None


NAMED_IN_QUERY: Final = Section(
    NamedInQuery, "as", "A name of `query` that binds values", make=_in_query
)
QueryUse = Literal["plain", "names", "refuse"] | NamedInQuery


@dataclass(frozen=True, slots=True)
class HeadersSyntax:
    """What headers a request may have beside the usual ones and those that the rule reads."""

    others: Literal["pass", "refuse"] = setting(
        Choice("pass", "refuse"),
        "What happens with a header that the rule neither reads nor seals nor lists, and that is"
        " none of HTTP, of browsers or of proxies: `refuse` answers 400 (`unlisted-header`).",
        default="pass",
    )
    plain: tuple[bytes, ...] = setting(
        OneOrMore(PlainText("header", _HEADER, "is not the name of a header", parse=_low)),
        "With `refuse`: headers that may be there.",
        default=(),
    )

    @property
    def listed(self) -> frozenset[bytes] | None:
        """The headers that are listed, None where any may be there."""
        return frozenset(self.plain) if self.others == "refuse" else None


HEADERS: Final = Section(HeadersSyntax, "headers", "The headers of requests")


@dataclass(frozen=True, slots=True)
class OptionsSyntax:
    """Options of `defaults`, a rule or a block, without `bind`; `expires` 0 is never."""

    mode: Mode | None = setting(
        PlainText(
            "`enforce`, `observe`, `permissive until YYYY-MM-DD`",
            parse=_mode,
            pattern=f"enforce|observe|{_UNTIL.pattern}",
        ),
        "`observe` (whole rules only): messages pass unchanged, and what the rule would do is"
        " reported. `permissive` passes unsealed values on decrypt until that day begins (UTC).",
        absent="`enforce`",
    )
    keep_unopened: bool | None = setting(
        Choice(reject=False, keep=True),
        "What happens with a token in a response that does not open: `reject` answers 502, `keep`"
        " leaves the token in place.",
        absent="`reject`",
        name="on_error",
    )
    escape: Escape | None = setting(
        Choice(*ESCAPES),
        "How an opened value is written into surrounding text of a response. `auto`: escaped in"
        " HTML, XML and text with tags; unescaped in JSON strings and plain text unless that would"
        " form a tag; otherwise the token stays. `html`: always escaped, including values that are"
        " a whole string. `keep`: only tokens that are a whole string open. `none`: never escaped.",
        absent="`auto`",
    )
    already_sealed: AlreadySealed | None = setting(
        Choice("seal", "keep", "reject"),
        "What happens with a value to encrypt that already is a token: `seal` seals it again,"
        " `keep` leaves it if it opens here, `reject` refuses the message.",
        absent="`seal`",
    )
    elsewhere_allowed: bool | None = setting(
        Choice(refuse=False, allow=True),
        "Whether a name that the rule reads may also occur elsewhere in a request (query, cookie,"
        " body), with any value; for backends that never look there.",
        absent="`refuse`",
        name="elsewhere",
    )
    cookies_ignored: bool | None = setting(
        Choice(compare=False, ignore=True),
        "Whether cookies are compared with the names that the rule reads in forms and queries, as"
        " PHP may merge them; `ignore`: for backends that do not.",
        absent="`compare`",
        name="cookies",
    )
    others: Others | None = setting(
        Choice("refuse", "seal", "pass"),
        "What happens with what a request holds beside the places that the block seals, opens,"
        " reads or lists as `plain`: members, form fields, parts. `refuse` answers 400"
        " (`unlisted-name`). `seal` seals every such value but null; it opens by `decrypt: tokens`."
        " `pass` lets it through, and any name in the query with it; for webhooks of others.",
        absent="`refuse`",
    )
    keep_types: tuple[str, ...] | None = setting(
        OneOrMore(Choice("boolean")),
        "With `others: seal`, what passes of unlisted values: `true` and `false` of JSON.",
        absent="nothing",
    )
    query: Mapping[str, QueryUse] | None = setting(
        ByName(
            ByShape(Choice("plain", "names", "refuse"), mapping=NAMED_IN_QUERY),
            "mapping of names, each with `plain`, `names`, `refuse` or `{as: PART}`",
            PlainText(),
        ),
        "The names that may occur in the query beside those that the rule seals or reads. The value"
        " of one that is `plain` must not name a sealed field (`sort=content`), that of `names` may"
        " (`fields=content`). A rule adds to those of `defaults`, a block to those of its rule;"
        " `refuse` takes a name away. `{as: conversation}`, on rules alone, says that it names the"
        " conversation.",
        absent="none",
    )
    distinct: tuple[str, ...] | None = setting(
        OneOrMore(
            PlainText("JSON selector", parse=_object_name, pattern=r"\$[\s\S]*"),
            "JSON selector or a list of them",
        ),
        "Objects whose names are a part of the fields within: with `$.patient`, the field of"
        " `$.patient.name` is `patient.name`, and the name of a `$.doctor` does not open there."
        " Their last names tell them, wherever they stand.",
        absent="none",
    )
    headers: HeadersSyntax | None = setting(
        HEADERS, "What headers a request may have.", absent="any"
    )
    filenames: Filenames | None = setting(
        Choice("seal", "replace", "plain"),
        "What becomes of filenames in the parts of a request that no item selects: `replace` writes"
        " `file` with the extension, of up to five characters; `seal` seals them as the field"
        " `filename`; `plain` lets them pass.",
        absent="`replace`, with `others: pass` `plain`",
    )
    case_variants_allowed: bool | None = setting(
        Choice(refuse=False, allow=True),
        "Whether other spellings of a selected name, such as `Content` for `content`, may occur"
        " beside it.",
        absent="`refuse`",
        name="case_variants",
    )
    accept: tuple[str, ...] | None = setting(
        OneOrMore(
            Choice("ascii-charset", "byte-order-mark", "lone-surrogates", "nan", "undelimited")
        ),
        "What lax writers send that is read all the same, and forwarded as it came."
        " `ascii-charset`: a charset such as ISO-8859-1, if the body is ASCII. `byte-order-mark`:"
        " one before JSON. `lone-surrogates`: half of a surrogate pair in JSON. `nan`: the numbers"
        " NaN and Infinity. Neither of these is accepted in a value that the rule seals, opens or"
        " reads. `undelimited`: a response of JSON that ends with its connection.",
        absent="nothing",
    )
    expires: float | None = expires()


Overlaid = TypeVar("Overlaid", NamesSyntax, OptionsSyntax)


def overlay(base: Overlaid, over: Overlaid) -> Overlaid:
    """Return `base` with each key replaced that `over` gives; mappings are added to."""
    said = {one.name: getattr(over, one.name) for one in dataclasses.fields(over)}
    given: dict[str, Any] = {
        name: {**(getattr(base, name) or {}), **value} if isinstance(value, dict) else value
        for name, value in said.items()
        if value is not None
    }
    return dataclasses.replace(base, **given)
