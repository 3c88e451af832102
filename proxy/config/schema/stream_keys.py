"""The keys of blocks that are for streams of records."""

from __future__ import annotations

from typing import Final

from . import tables
from .tables import Key, Table

AT_THE_END: Final = "end"
SENTINEL_MAX: Final = 64
BATCH: Final = Table(
    "batch",
    "`batch` in its long form",
    (
        Key(
            "for",
            "duration, `end`",
            "How long values are joined before they are sealed, up to 1 h; `end`: until a record"
            " without such a value, or the end of the stream.",
            {"anyOf": [tables.DURATION, {"enum": [AT_THE_END]}]},
            required=True,
        ),
        Key(
            "ignore",
            "JSON selector or list of them",
            "Values that may differ among records that become one, such as a time; the last one's"
            " stays.",
            tables.one_or_more(tables.TEXT),
            "none",
        ),
    ),
)

STREAM_KEYS: Final = (
    Key(
        "sentinels",
        "list of texts",
        "Records that pass unread although they are not JSON, and messages of a WebSocket:"
        " those that are exactly one of these texts, up to 64 characters each, with or without"
        " white space around it. An empty list: none.",
        {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": SENTINEL_MAX},
        },
        "`['[DONE]']` with JSON selectors, else none",
    ),
    Key(
        "batch",
        "duration, `end`, or a mapping",
        "For responses that are streams of records: strings that the block seals are parts of"
        " one text. Records that follow each other within this time, and differ only in these"
        " strings (and in `id:`), become one record with one token. `end`: without a limit of"
        " time.",
        {
            "anyOf": [
                tables.DURATION,
                {"enum": [AT_THE_END]},
                tables.table("batch"),
            ]
        },
        "a token for each value",
    ),
)
