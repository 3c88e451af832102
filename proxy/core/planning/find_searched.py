"""What a request searches for, and the elements of its answer that are to fit it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..compiled.block import CompiledBlock
from ..compiled.kept_elements import KeptElements
from ..errors import CallerMayNotSearch, OpenFailed, SearchNotSupported, UpstreamFailed
from ..formats.body_format import Kind
from ..formats.json import Findings, FoundValue, unescape
from ..formats.token_places import without_tags
from ..http.message import ResponseHead
from ..rules.model import Placed
from ..search.queries import FieldSearch, Query
from ..values.hows import Seek
from ..values.outcomes import NO_TOKEN
from ..values.sieve import CutSpans, Sieve
from ..values.table import Values, splice
from .binding import Binder
from .exchange import Exchange
from .find_values import ItemSealing, Reads


def add_searches(binder: Binder, selection: Reads, findings: Findings, body: bytes) -> None:
    """Add what a request searches for in its body, or what a search leaves of its answer.

    Raises as `add_searched`, UpstreamFailed as `_add_sieve`.
    """
    compiled = binder.compiled
    for placed in compiled.search:
        add_searched(binder, placed, findings.found[placed.index], body, selection)
    if compiled.direction == "response":
        if compiled.kept is not None:
            _add_sieve(binder, compiled.kept, findings, body)
        _add_echoes(binder, body)


def add_searched(
    binder: Binder,
    placed: Placed,
    found: Sequence[FoundValue],
    text: bytes,
    selection: Reads,
) -> list[int]:
    """Add a row for each value that is searched for, in a body or in a query; return the rows.

    Raises CallerMayNotSearch, SearchTooBroad, SearchNotSupported.
    """
    sought, values, exchange = placed.item.sought, binder.values, binder.exchange
    assert sought is not None  # noqa: S101 - items of `search` have it
    if len(found) > 1:
        raise SearchNotSupported("several-values", detail="Search for one thing at a time.")
    sealing = ItemSealing(selection, placed.item, binder.compiled, Seek)
    rows: list[int] = []
    for one in found:
        if placed.item.unseen:
            raise CallerMayNotSearch("caller-may-not-search")
        row = sealing.add(values, binder.context(placed, one.path), text, one)
        values.what[row] = exchange.sought[sought.name] = _query(sought, values, row)
        values.alike.pop(row, None)
        rows.append(row)
    return rows


def _query(sought: FieldSearch, values: Values, row: int) -> Query:
    text = values.what[row]
    if values.ctys[row] is not None or not isinstance(text, bytes):
        raise SearchNotSupported("not-a-text", detail="What is searched for must be a string.")
    return sought.read(text.decode())


def refuse_records(
    exchange: Exchange, compiled_blocks: Iterable[CompiledBlock], kind: Kind, body: bytes
) -> None:
    """Raise UpstreamFailed where records answer a search: nobody would drop those that lack it.

    Raises SearchNotSupported where they are what searches: each would be another search. An
    operation of GraphQL by itself is one.
    """
    if kind == "graphql" and not body.lstrip().startswith(b"["):
        return
    if any(one.search for one in compiled_blocks):
        raise SearchNotSupported("search-in-records", detail="No stream of records can search.")
    if exchange.sought and any(one.kept is not None for one in compiled_blocks):
        raise UpstreamFailed("search-answered-by-records")


def _add_sieve(binder: Binder, kept: KeptElements, findings: Findings, body: bytes) -> None:
    """Add what tells which elements of an answer fit what its request has searched for.

    Raises UpstreamFailed where they are no elements of a list.
    """
    sought = binder.exchange.sought
    queries = tuple(sought[name] for name in kept.matching if name in sought)
    if not queries:
        return
    places = findings.found[kept.first]
    numbers = {one.path: at for at, one in enumerate(places)}
    if any(isinstance(path[-1], str) for path in numbers):
        raise UpstreamFailed("search-answered-by-no-list")
    values = binder.values
    by_start = dict(zip(values.starts, range(len(values)), strict=True))
    rows: dict[int, tuple[int, str]] = {}
    totals = [(one.start, one.end, b"null") for at in kept.totals for one in findings.found[at]]
    sieve = Sieve(queries, places, rows, totals)
    depth, whats = kept.depth, values.what
    for placed in kept.values:
        field = placed.item.field
        for one in findings.found[placed.index]:
            row = by_start[one.start]
            rows[row] = numbers[one.path[:depth]], field
            what = whats[row]
            if isinstance(what, OpenFailed) and what.reason == NO_TOKEN:
                raw = one.raw(body)
                if raw[:1] == b'"':
                    sieve.take(row, unescape(raw).encode())
    values.sieve = sieve


def _add_echoes(binder: Binder, body: bytes) -> None:
    """Add what the backend has repeated of a query: links to other pages have it, for instance.

    Clients get what they have searched for. What lies in a token, or behind one, is none of it.
    """
    found = [one for query in binder.exchange.sought.values() for one in query.echoes(body)]
    if found:
        values = binder.values
        taken = CutSpans([(*values.span(row), b"") for row in range(len(values))])
        values.replaced += [one for one in found if not taken.has(one[0])]


def told_back(exchange: Exchange, head: ResponseHead) -> ResponseHead:
    """Return a head whose headers have what the client has searched for, as `_add_echoes`."""
    headers = []
    for name, given in head.headers:
        value = without_tags(given)
        found = [one for query in exchange.sought.values() for one in query.echoes(value)]
        headers.append((name, splice(value, found) if found else given))
    return head.rewritten(tuple(headers))
