"""The keys of a job file that are about a backend over HTTP."""

from __future__ import annotations

from typing import Final

from ...config.schema import tables
from ...config.schema.tables import Table, TableRow
from .collections import METHODS

LOOKALIKES: Final = ("leave", "seal")
LOOKALIKES_KEY: Final = TableRow(
    "lookalikes",
    "`leave`, `seal`",
    "Whether `seal` seals a value that begins like a token and does not open. A token of another"
    " keyring is such a value, too.",
    tables.choice(LOOKALIKES),
    "`leave`",
)
_SELECTOR: Final = "selector"
_TEMPLATE: Final = (
    "`{name}` is a member of the element, `{name.inner}` one of an object in it; percent-encoded."
)

HTTP: Final = Table(
    "http",
    "`http`",
    (
        TableRow(
            "config",
            "path",
            "The configuration of the sidecar: its rules say what is sealed and how, its upstream"
            " is what is read and written.",
            tables.TEXT,
            required=True,
        ),
        TableRow("listener", "name", "Whose rules and upstream.", tables.TEXT, "the only one"),
        TableRow(
            "headers",
            "mapping of names to texts or secrets",
            "Headers of every request, credentials among them. Rules that bind values to names in"
            " headers read them here.",
            tables.by_name({"anyOf": [tables.TEXT, tables.table("secret")]}),
        ),
    ),
)
PAGING: Final = Table(
    "paging",
    "`next`",
    (
        TableRow(
            "link",
            "`Link`, the name of a header, selector",
            "The next page is what a link names: that of `Link` with `rel=next` (RFC 8288), one in"
            " another header, or one in the answer, such as `$.links.next`. Only its path and"
            " query are used.",
            tables.TEXT,
        ),
        TableRow("page", "name", "The query parameter that counts pages.", tables.TEXT),
        TableRow(
            "first",
            "whole number",
            "The number of the first page.",
            tables.number(0, 1 << 30),
            "1",
        ),
        TableRow("cursor", "name", "The query parameter of the cursor.", tables.TEXT),
        TableRow(
            "from",
            _SELECTOR,
            "Where the answer has the next cursor, such as `$.next_cursor`.",
            tables.TEXT,
        ),
        TableRow(
            "last",
            "name",
            "The member of the last element that is the next cursor, such as `id`.",
            tables.TEXT,
            "that of `from`",
        ),
    ),
    alternatives=(("link",), ("page",), ("cursor",)),
)
GUARD: Final = Table(
    "guard",
    "`guard`",
    (
        TableRow(
            "if_match",
            "template",
            "`If-Match` of the write, by members of the listed element, such as"
            " `'\"{last_modified}\"'`.",
            tables.TEXT,
        ),
        TableRow(
            "if_unmodified_since",
            "template",
            "`If-Unmodified-Since` of the write, by a member that is an HTTP date.",
            tables.TEXT,
        ),
        TableRow(
            "etag",
            "path",
            "Read each element there before it is written, compare it, and send the `ETag` of that"
            f" answer as `If-Match`, or its `Last-Modified`. {_TEMPLATE}",
            tables.TEXT,
        ),
        TableRow(
            "compare",
            "path",
            "Read each element there before it is written, and compare it. For backends that check"
            " no precondition: what another writes between the two requests is lost.",
            tables.TEXT,
        ),
    ),
    alternatives=(("if_match",), ("if_unmodified_since",), ("etag",), ("compare",)),
)
COLLECTION: Final = Table(
    "collection",
    "`collections`",
    (
        TableRow("collection", "name", "How reports name it.", tables.TEXT, required=True),
        TableRow(
            "list",
            "path with query",
            "Where its elements are listed, in an order that writes do not change.",
            tables.TEXT,
            required=True,
        ),
        TableRow(
            "items",
            _SELECTOR,
            "The elements of the answer, such as `$.data[*]`.",
            tables.TEXT,
            required=True,
        ),
        TableRow(
            "next",
            "mapping",
            "How a page leads to the next one.",
            tables.table("paging"),
            "there is one page",
        ),
        TableRow(
            "total",
            "name of a header, selector",
            "Where the list says how many elements it has, for the time that is left: a header of"
            " the answer to `HEAD`, or to `GET`, such as `X-Total-Count` or `Content-Range`, or a"
            " number in the answer, such as `$.total`.",
            tables.TEXT,
            "not known",
        ),
        TableRow(
            "write",
            "`METHOD path`",
            f"Where an element is written back: {', '.join(f'`{one}`' for one in METHODS)} and a"
            f" path. {_TEMPLATE}",
            tables.TEXT,
            required=True,
        ),
        TableRow(
            "body",
            _SELECTOR,
            "Where the element is in the body of a write, such as `$.data`.",
            tables.TEXT,
            "`$`: it is the body",
        ),
        TableRow(
            "members",
            "list of names",
            "The members that are written.",
            tables.many(tables.TEXT),
            "all",
        ),
        TableRow(
            "without",
            "list of names",
            "Members that are not written.",
            tables.many(tables.TEXT),
            "none",
        ),
        TableRow("type", "media type", "That of the write.", tables.TEXT, "`application/json`"),
        TableRow(
            "guard",
            "mapping",
            "What keeps a write from replacing what another has written meanwhile.",
            tables.table("guard"),
            required=True,
        ),
        LOOKALIKES_KEY,
    ),
)
