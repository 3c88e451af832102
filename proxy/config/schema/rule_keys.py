"""The keys of rules, blocks, items, fields and sources."""

from __future__ import annotations

from typing import Final

from ...core.crypto.token import FORMS
from ...core.formats.body_format import Kind
from ...core.formats.escaping import ESCAPES
from ...core.formats.table import FORMATS
from ...core.rules.model import PARTS, Nothing
from . import tables
from .stream_keys import STREAM_KEYS
from .tables import Key, Schema, Table

ON_ERROR: Final = ("reject", "keep")
ALREADY_SEALED: Final = ("seal", "keep", "reject")
NOTHING: Final[tuple[Nothing, ...]] = ("refuse", "pass")
CASE_VARIANTS: Final = ("refuse", "allow")
ELSEWHERE: Final = ("refuse", "allow")
BODY_FORMATS: Final[tuple[Kind, ...]] = tuple(FORMATS)
MOST_CHARS: Final = 1_000_000_000
MOST_TOKENS: Final = 1_000_000
MOST_CONNECTIONS: Final = 1_000_000

_BIND_SCHEMA: Final = tables.many(tables.choice(PARTS))
_BIND: Final = Key(
    "bind",
    "list of `tenant`, `conversation`, `field`, `message`, `purpose`",
    "What a sealed value is bound to: it opens only if all of these are the same.",
    _BIND_SCHEMA,
    "`[tenant, conversation, field]`, without those that the rule does not give",
)
NEVER: Final = "never"
_EXPIRES: Final = Key(
    "expires",
    "duration, `never`",
    "How long sealed values open, up to ten years; after that they are refused for good. The"
    " actual time may be up to 1 % longer. Not available in the form `short`.",
    {"anyOf": [tables.DURATION, {"enum": [NEVER]}]},
    "`never`",
)
_OPTIONS: Final = (
    Key(
        "mode",
        "`enforce`, `observe`, `permissive until YYYY-MM-DD`",
        "`observe` (whole rules only): messages pass unchanged, and what the rule would do is"
        " reported. `permissive` passes unsealed values on decrypt until that day begins (UTC).",
        {
            "anyOf": [
                {"enum": ["enforce", "observe"]},
                {
                    "type": "string",
                    "pattern": rf"^permissive until [0-9-]{{10}}$|{tables.REFERENCE}",
                },
            ]
        },
        "`enforce`",
    ),
    Key(
        "on_error",
        "`reject`, `keep`",
        "What happens with a token in a response that does not open: `reject` answers 502, `keep`"
        " leaves the token in place.",
        tables.choice(ON_ERROR),
        "`reject`",
    ),
    Key(
        "escape",
        "`auto`, `html`, `keep`, `none`",
        "How an opened value is written into surrounding text of a response. `auto`: escaped in"
        " HTML, XML and text with tags; unescaped in JSON strings and plain text unless that would"
        " form a tag; otherwise the token stays. `html`: always escaped, including values that are"
        " a whole string. `keep`: only tokens that are a whole string open. `none`: never escaped.",
        tables.choice(ESCAPES),
        "`auto`",
    ),
    Key(
        "already_sealed",
        "`seal`, `keep`, `reject`",
        "What happens with a value to encrypt that already is a token: `seal` seals it again,"
        " `keep` leaves it if it opens here, `reject` refuses the message.",
        tables.choice(ALREADY_SEALED),
        "`seal`",
    ),
    Key(
        "elsewhere",
        "`refuse`, `allow`",
        "Whether a name that the rule reads may also occur elsewhere in a request (query, cookie,"
        " body), with any value; for backends that never look there.",
        tables.choice(ELSEWHERE),
        "`refuse`",
    ),
    Key(
        "case_variants",
        "`refuse`, `allow`",
        "Whether other spellings of a selected name, such as `Content` for `content`, may occur"
        " beside it.",
        tables.choice(CASE_VARIANTS),
        "`refuse`",
    ),
    _EXPIRES,
    _BIND,
)


def _names(where: str, to_open: str = "") -> tuple[Key, ...]:
    return (
        Key("tenant", "source", f"The tenant whose keys are used; {where}.", tables.SOURCE),
        Key(
            "conversation", "source", f"The conversation whose key is used; {where}.", tables.SOURCE
        ),
        Key(
            "message",
            "source",
            f"The message id that values can be bound to; {where}.",
            tables.SOURCE,
        ),
        Key(
            "sender",
            "source",
            f"The participant who signs key packages{to_open}; with `recipients`; {where}.",
            tables.SOURCE,
        ),
        Key(
            "recipients",
            "source",
            "The participants for whom values are sealed end to end, one per element of a list;"
            f" {where}.",
            tables.SOURCE,
        ),
        Key(
            "reader",
            "source",
            f"The participant whose private key opens end-to-end values; {where}.",
            tables.SOURCE,
        ),
    )


def _direction(name: str, words: str, block: Schema, options: list[str]) -> Key:
    return Key(
        name,
        f"{words}, a block or a list of blocks",
        f"What happens with the {name}s of the route; in a list, the first block that applies.",
        {"anyOf": [{"enum": options}, tables.one_or_more(block)]},
        "`pass`",
    )


POISON: Final = ("alert", "shut")
_SHARED: Final = (
    Key("log", "mapping", "Which log lines its messages get.", tables.table("log"), "all"),
    *_names("read from the request, also for its response"),
    Key("purpose", "text", "A constant that values can be bound to.", tables.TEXT),
    _direction("request", "`pass`, `reject`", tables.table("block"), ["pass", "reject"]),
    _direction("response", "`pass`", tables.table("block"), ["pass"]),
    *_OPTIONS,
    Key(
        "poison",
        "`alert`, `shut`",
        "What happens, besides the alert, when a poison token is to be opened: `alert`: nothing"
        " more; `shut`: the rule refuses all messages (403) until the next reload.",
        tables.choice(POISON),
        "`alert`",
    ),
)

RULE: Final = Table(
    "rule",
    "A rule",
    (
        Key(
            "name",
            "text",
            "Its name in logs and errors; unique in the listener.",
            tables.TEXT,
            required=True,
        ),
        Key(
            "match",
            "`[METHOD,METHOD ]/path`, `WS /path`, or a list of them",
            "Which requests the rule applies to: literal segments, `{name}`, `*`, and `/**` at the"
            " end. `WS` is for WebSockets: messages from clients are requests, messages to them"
            " are responses.",
            tables.one_or_more(tables.TEXT),
            required=True,
        ),
        Key(
            "connections",
            "number",
            "The largest number of its requests that are under way at the upstream, in place of"
            " `limits.connections_per_route`.",
            tables.number(1, MOST_CONNECTIONS),
        ),
        *_SHARED,
    ),
)

DEFAULTS: Final = Table("defaults", "`defaults` of a listener", _SHARED)

_SCALAR: Final[Schema] = {"type": ["string", "integer", "boolean"]}
_ITEMS: Final = tables.one_or_more({"anyOf": [tables.TEXT, tables.table("item")]})
BLOCK: Final = Table(
    "block",
    "A block: what happens with the messages that it applies to",
    (
        Key("encrypt", "item or list of items", "What is sealed.", _ITEMS),
        Key("decrypt", "item or list of items", "What is opened.", _ITEMS),
        Key(
            "absent",
            "selector or list of selectors",
            "What must not occur (400); also `header:name`, and `query:name` on requests.",
            tables.one_or_more(tables.TEXT),
        ),
        Key(
            "type",
            "media type or list; `text/*`, `*/*`",
            "The media types that the block applies to.",
            tables.one_or_more(tables.TEXT),
            "those that its selectors read",
        ),
        Key(
            "status",
            "`200`, `2xx`, `all` or a list",
            "The response status codes that the block applies to; only on responses.",
            tables.one_or_more(
                {"anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, tables.TEXT]}
            ),
            "`all`; with `tokens` `2xx`",
        ),
        *_names(
            "read from this message, for each value from its own list element",
            to_open=" and, with `decrypt` and a `reader`, who must have signed them",
        ),
        *_OPTIONS,
        Key(
            "max_tokens",
            "number",
            "The largest number of tokens that `tokens` opens in one body.",
            tables.number(1, MOST_TOKENS),
            "10000",
        ),
        Key(
            "placeholder",
            "text",
            "The text that replaces a truncated token.",
            tables.TEXT,
            "`[sealed]`",
        ),
        Key(
            "nothing",
            "`refuse`, `pass`",
            "What happens with a message that has a body, a record or a list element without any"
            " of the values: `refuse` answers 400 (a response: 502), `pass` lets it pass and counts"
            " it. Required where all items that the block seals are optional, and only there.",
            tables.choice(NOTHING),
        ),
        Key(
            "only",
            "list of member names",
            "The other members that may occur in the JSON objects whose members the block seals."
            " What the block opens there, and what it reads as names or in `when`, is always"
            " allowed. Any other member is refused (400; a response: 502), in each record. In a"
            " form, also the names of the other parts or pairs that may occur.",
            {"type": "array", "items": tables.TEXT},
            "any",
        ),
        Key(
            "html",
            "JSON selector or list of them",
            "Values of a response that are HTML even if they contain no tag: what opens in them is"
            " escaped.",
            tables.one_or_more(tables.TEXT),
        ),
        Key(
            "when",
            "mapping of JSON selectors, each with a value or a list of values",
            "The values that a body must have for the block to apply; in bodies of many records,"
            " each record decides for itself.",
            tables.by_name(tables.one_or_more(_SCALAR)),
        ),
        *STREAM_KEYS,
        Key(
            "format",
            ", ".join(f"`{one}`" for one in BODY_FORMATS),
            "The format that bodies are read as, whatever their Content-Type.",
            tables.choice(BODY_FORMATS),
            "by the Content-Type",
        ),
    ),
)

_SEALING: Final = (
    Key(
        "form",
        "`jwe`, `short`, `base64`",
        "The form of its tokens: JWE, a shorter one, or one that is base64 with padding, for JSON"
        " strings of base64 that the backend decodes.",
        tables.choice(FORMS),
        "`jwe`",
    ),
    Key(
        "max_chars",
        "number",
        "The largest number of characters that the backend accepts; a longer token is refused"
        " (422).",
        tables.number(1, MOST_CHARS),
    ),
    Key(
        "string",
        "`true`, `false`",
        "Whether the value must be a string (422 otherwise); the backend cannot check this once it"
        " is sealed.",
        tables.SWITCH,
        "`false`; `true` with `min_chars`",
    ),
    Key(
        "min_chars",
        "number",
        "The smallest number of characters (Unicode code points) that a string must have before it"
        " is sealed (422 otherwise).",
        tables.number(1, MOST_CHARS),
    ),
)

ITEM: Final = Table(
    "item",
    "An item in its long form; the short one is `[optional ]SELECTOR[ as FIELD]`",
    (
        Key(
            "select", "selector", "The values that the item applies to.", tables.TEXT, required=True
        ),
        Key(
            "field",
            "text",
            "The name of the field, which values are bound to.",
            tables.TEXT,
            "the last member name",
        ),
        *_SEALING,
        _EXPIRES,
        Key(
            "optional",
            "`true`, `false`",
            "Whether the value may be missing.",
            tables.SWITCH,
            "`false`",
        ),
        Key(
            "each",
            "`true`, `false`",
            "For `form:` and `query:`: whether the name may occur more than once; each occurrence"
            " is then sealed or opened. For `part:` it always may.",
            tables.SWITCH,
            "`false`",
        ),
        Key(
            "query",
            "`refuse`, `allow`",
            "Whether the name may also occur in the query, a cookie or the body, where the rule"
            " does not read it; for backends that never look there.",
            tables.choice(ELSEWHERE),
            "`refuse`",
        ),
    ),
)

FIELD: Final = Table("field", "A field, by its name", (*_SEALING, _BIND))

SOURCES: Final = Table(
    "sources",
    "A source made of others; a plain list of sources is joined in order",
    (
        Key(
            "members",
            "list of sources",
            "All of them, in an order that does not matter.",
            tables.many(tables.table("source")),
        ),
        Key(
            "first",
            "list of sources",
            "The first one that has a value.",
            tables.many(tables.table("source")),
        ),
    ),
    alternatives=(("members",), ("first",)),
)
