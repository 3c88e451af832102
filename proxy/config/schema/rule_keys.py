"""The keys of rules, blocks, items and fields."""

from __future__ import annotations

from typing import Final

from ...core.crypto.token import Form
from ...core.formats.body_format import Kind
from ...core.formats.escaping import ESCAPES
from ...core.formats.table import FORMATS
from ...core.rules.model import PARTS, Nothing
from . import tables
from .tables import Key, Schema, Table

FORMS: Final[tuple[Form, ...]] = ("jwe", "short")
ON_ERROR: Final = ("reject", "keep")
ALREADY_SEALED: Final = ("seal", "keep", "reject")
NOTHING: Final[tuple[Nothing, ...]] = ("refuse", "pass")
CASE_VARIANTS: Final = ("refuse", "allow")
ELSEWHERE: Final = ("refuse", "allow")
BODY_FORMATS: Final[tuple[Kind, ...]] = tuple(FORMATS)
MOST_CHARS: Final = 1_000_000_000
MOST_TOKENS: Final = 1_000_000

_BIND_SCHEMA: Final = tables.many(tables.choice(PARTS))
_BIND: Final = Key(
    "bind",
    "list of `tenant`, `conversation`, `field`, `message`, `purpose`",
    "What a sealed value is bound to: it opens only where all of it is the same.",
    _BIND_SCHEMA,
    "`[tenant, conversation, field]` less what is not given",
)
NEVER: Final = "never"
_EXPIRES: Final = Key(
    "expires",
    "duration, `never`",
    "For how long sealed values open, up to ten years: after that they are refused, for good. It"
    " may be a hundredth longer. Not in the form `short`.",
    {"anyOf": [tables.DURATION, {"enum": [NEVER]}]},
    "`never`",
)
_OPTIONS: Final = (
    Key(
        "mode",
        "`enforce`, `observe`, `permissive until YYYY-MM-DD`",
        "`observe`, for whole rules: messages pass as they are, and what the rule would do is told."
        " `permissive` lets old plaintext through on decrypt until that day begins (UTC).",
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
        "What becomes of a token in a response that does not open: 502, or it stays.",
        tables.choice(ON_ERROR),
        "`reject`",
    ),
    Key(
        "escape",
        "`auto`, `html`, `keep`, `none`",
        "How what opens in a response is written into text that holds it. `auto`: escaped in HTML,"
        " XML and text with tags; as it is in JSON strings and plain text unless that makes a tag;"
        " else the token stays. `html`: escaped everywhere, also what is all of a value. `keep`:"
        " only what is all of a value opens. `none`: as it is.",
        tables.choice(ESCAPES),
        "`auto`",
    ),
    Key(
        "already_sealed",
        "`seal`, `keep`, `reject`",
        "What becomes of a value to encrypt that is a token; `keep` only if it opens here.",
        tables.choice(ALREADY_SEALED),
        "`seal`",
    ),
    Key(
        "elsewhere",
        "`refuse`, `allow`",
        "Whether names that the rule reads may stand in another place of a request as well (query,"
        " cookie, body), with any text: for backends that never look there.",
        tables.choice(ELSEWHERE),
        "`refuse`",
    ),
    Key(
        "case_variants",
        "`refuse`, `allow`",
        "Whether `Content` may stand beside a selected `content`, or another spelling of it.",
        tables.choice(CASE_VARIANTS),
        "`refuse`",
    ),
    _EXPIRES,
    _BIND,
)


def _names(where: str, to_open: str = "") -> tuple[Key, ...]:
    return (
        Key("tenant", "source", f"Whose keys are used; {where}.", tables.SOURCE),
        Key("conversation", "source", f"Which conversation's key is used; {where}.", tables.SOURCE),
        Key("message", "source", f"The message's id, to be bound; {where}.", tables.SOURCE),
        Key(
            "sender",
            "source",
            f"The participant who signs key packages{to_open}; with `recipients`; {where}.",
            tables.SOURCE,
        ),
        Key(
            "recipients",
            "source",
            "The participants for whom values are sealed end to end, each element of a list one;"
            f" {where}.",
            tables.SOURCE,
        ),
        Key(
            "reader",
            "source",
            f"The participant whose private key opens what was sealed end to end; {where}.",
            tables.SOURCE,
        ),
    )


def _direction(name: str, words: str, block: Schema, options: list[str]) -> Key:
    return Key(
        name,
        f"{words}, a block or a list of blocks",
        f"What happens to the {name}s of the route; of a list, the first block that fits is taken.",
        {"anyOf": [{"enum": options}, tables.one_or_more(block)]},
        "`pass`",
    )


POISON: Final = ("alert", "shut")
_SHARED: Final = (
    Key("log", "mapping", "Which lines of its messages the log has.", tables.table("log"), "all"),
    *_names("read from the request and kept for its response"),
    Key("purpose", "text", "A constant to be bound.", tables.TEXT),
    _direction("request", "`pass`, `reject`", tables.table("block"), ["pass", "reject"]),
    _direction("response", "`pass`", tables.table("block"), ["pass"]),
    *_OPTIONS,
    Key(
        "poison",
        "`alert`, `shut`",
        "What happens besides the alarm when somebody tries to open a poison token: nothing, or the"
        " rule refuses all messages (403) until the next reload.",
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
            "Its name in logs and messages; once in a listener.",
            tables.TEXT,
            required=True,
        ),
        Key(
            "match",
            "`[METHOD,METHOD ]/path`, `WS /path`, or a list of them",
            "Which requests it takes: literal segments, `{name}`, `*`, and `/**` at the end. `WS`"
            " is for WebSockets: what their clients send are requests, what they get responses.",
            tables.one_or_more(tables.TEXT),
            required=True,
        ),
        *_SHARED,
    ),
)

DEFAULTS: Final = Table("defaults", "`defaults` of a listener", _SHARED)

_SCALAR: Final[Schema] = {"type": ["string", "integer", "boolean"]}
_ITEMS: Final = tables.one_or_more({"anyOf": [tables.TEXT, tables.table("item")]})
BLOCK: Final = Table(
    "block",
    "A block: what happens to the messages that fit it",
    (
        Key("encrypt", "item or list of items", "What is sealed.", _ITEMS),
        Key("decrypt", "item or list of items", "What is opened.", _ITEMS),
        Key(
            "absent",
            "selector or list of selectors",
            "What must not be there (400); also `header:name`, and `query:name` on requests.",
            tables.one_or_more(tables.TEXT),
        ),
        Key(
            "type",
            "media type or list; `text/*`, `*/*`",
            "Which bodies the block is for.",
            tables.one_or_more(tables.TEXT),
            "what its selectors read",
        ),
        Key(
            "status",
            "`200`, `2xx`, `all` or a list",
            "Which responses the block is for; only on responses.",
            tables.one_or_more(
                {"anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, tables.TEXT]}
            ),
            "`all`; with `tokens` `2xx`",
        ),
        *_names(
            "read from this message, for each value from its own element",
            to_open=", and, beside `decrypt` and a `reader`, who must have signed them",
        ),
        *_OPTIONS,
        Key(
            "max_tokens",
            "number",
            "The most tokens that `tokens` opens in one body.",
            tables.number(1, MOST_TOKENS),
            "10000",
        ),
        Key(
            "placeholder",
            "text",
            "What stands for a token that was cut.",
            tables.TEXT,
            "`[sealed]`",
        ),
        Key(
            "nothing",
            "`refuse`, `pass`",
            "What becomes of a message with a body, a record or an element of a list that has none"
            " of the values, where all that the block seals is optional: 400 (a response: 502), or"
            " it passes and is counted. Must be said in files of `version: 2`.",
            tables.choice(NOTHING),
            "`pass` in `version: 1`",
        ),
        Key(
            "only",
            "list of member names",
            "Which members may stand beside those that the block seals, in the JSON objects that"
            " hold these; what it opens there, and what it reads as names or by `when`, need not be"
            " listed. Any other is refused (400, a response 502), of each record.",
            {"type": "array", "items": tables.TEXT},
            "any",
        ),
        Key(
            "html",
            "JSON selector or list of them",
            "Which values of a response are HTML even where no tag tells: what opens in them is"
            " escaped.",
            tables.one_or_more(tables.TEXT),
        ),
        Key(
            "when",
            "mapping of JSON selectors, each with a value or a list of values",
            "Which bodies the block is for, by what stands in them; of bodies of many records,"
            " which records.",
            tables.by_name(tables.one_or_more(_SCALAR)),
        ),
        Key(
            "format",
            ", ".join(f"`{one}`" for one in BODY_FORMATS),
            "What bodies are read as, whatever content type they name.",
            tables.choice(BODY_FORMATS),
            "what the content type says",
        ),
    ),
)

_SEALING: Final = (
    Key("form", "`jwe`, `short`", "The form of its tokens.", tables.choice(FORMS), "`jwe`"),
    Key(
        "max_chars",
        "number",
        "The most characters that the backend takes; a longer token is refused (422).",
        tables.number(1, MOST_CHARS),
    ),
    Key(
        "string",
        "`true`, `false`",
        "Whether the value must be a string (422), which the backend cannot tell of a sealed one.",
        tables.SWITCH,
        "`false`; `true` with `min_chars`",
    ),
    Key(
        "min_chars",
        "number",
        "The fewest characters (Unicode code points) of a string before it is sealed; fewer are"
        " refused (422).",
        tables.number(1, MOST_CHARS),
    ),
)

ITEM: Final = Table(
    "item",
    "An item in its long form; the short one is `[optional ]SELECTOR[ as FIELD]`",
    (
        Key("select", "selector", "Which values.", tables.TEXT, required=True),
        Key("field", "text", "The field's name.", tables.TEXT, "the last member name"),
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
            "For `form:` and `query:`: whether the name may stand more than once, each of them"
            " sealed or opened. Parts always may.",
            tables.SWITCH,
            "`false`",
        ),
        Key(
            "query",
            "`refuse`, `allow`",
            "Whether the name may stand in the query, in a cookie or in the body as well, where the"
            " rule does not read it: for backends that never look there.",
            tables.choice(ELSEWHERE),
            "`refuse`",
        ),
    ),
)

FIELD: Final = Table("field", "A field, by its name", (*_SEALING, _BIND))

SOURCES: Final = Table(
    "sources",
    "A source made of others; a plain list is joined in order",
    (
        Key(
            "members",
            "list of sources",
            "All of them, the same in any order.",
            tables.many(tables.table("source")),
        ),
        Key(
            "first",
            "list of sources",
            "The first that gives a value.",
            tables.many(tables.table("source")),
        ),
    ),
    alternatives=(("members",), ("first",)),
)
