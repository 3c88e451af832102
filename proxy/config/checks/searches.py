"""Searches in sealed fields: what a rule must have for them, and what they give away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...core.rules.model import Block, Item
from ..rules.blocks import BlockSyntax
from ..rules.resolve import ResolvedRule
from ..rules.searches import SearchSyntax
from ..rules.syntax import reads_only
from ..yaml.nodes import Problems, show

_SHARED: Final = (
    "whoever reads the backend sees which values of a {scope} have the same {what}, and which"
    " searches are the same"
)
_CHOSEN: Final = (
    "who can also send values there learns the tag of each {what} that it sends; and a backend can"
    " leave out what it finds"
)
_COMMON: Final = (
    "without `skip: [common-en]`, about one word of five is named by how often its tag occurs"
)


def check(one: ResolvedRule, problems: Problems) -> None:
    """Report searches by words that could change something, or whose answers are not filtered.

    A tag of a word stands for others as well, now and then: what lacks the word must be dropped.
    """
    searches = [search for block in _written(one, "request") for search in block.search]
    _check_names(one, searches, problems)
    if any(pattern.websocket for pattern in one.rule.patterns):
        told = "messages of a WebSocket answer no search: which of them is the answer is not known"
        problems.add(one.syntax.place, told, "search by a request of its own")
    reads = reads_only(one.syntax)
    for search in searches:
        if search.match == "words":
            _check_words(one, search, problems, reads=reads)
    if searches:
        problems.warn(
            one.syntax.place,
            f"rule {show(one.rule.name)} searches what is sealed: where the backend also searches"
            " other columns for the same parameter, what it finds there is lost",
        )
    for block in one.rule.blocks_of("request"):
        for item in block.search:
            for told in _leaks(item):
                problems.warn(one.syntax.place, f"the index of {show(item.field)}: {told}")


def _check_names(one: ResolvedRule, searches: list[SearchSyntax], problems: Problems) -> None:
    names = {search.name for search in searches}
    for block in _written(one, "response"):
        for name in block.keep.matching if block.keep is not None else ():
            if block.keep is not None and name not in names:
                problems.add(
                    block.keep.place,
                    f"the rule {show(one.rule.name)} has no search {show(name)}",
                    "write the name of a parameter or a member of `search`",
                )
    for search in searches:
        if sum(other.name == search.name for other in searches) > 1:
            problems.add(search.place, f"two searches have the name {show(search.name)}")


def _check_words(
    one: ResolvedRule, search: SearchSyntax, problems: Problems, *, reads: bool
) -> None:
    if not reads:
        problems.add(
            search.place,
            f"the rule {show(one.rule.name)} takes requests that may change something: by the tag"
            " of a word they could hit a row without it",
            "search by words with GET, HEAD or QUERY alone, or write `reads: true` in the rule if"
            " its requests only read; `match: exact` may be used with any method",
        )
    opening = [block for block in _blocks(one) if block.decrypt]
    kept = [block for block in opening if block.keep and search.name in block.keep.matching]
    if not opening or len(kept) < len(opening):
        problems.add(
            search.place,
            "the answer is not filtered, so that it may have elements without the words",
            f"write `response: {{decrypt: …, keep: {{items: …, matching: {search.name}}}}}`",
        )


def _leaks(item: Item) -> Iterator[str]:
    """Yield what the index of a field gives away."""
    assert item.sought is not None  # noqa: S101 - items of `search` have it
    index = item.sought.index
    words = item.sought.match == "words"
    for one in (_SHARED, _CHOSEN):
        yield one.format(scope=index.scope, what="word" if words else "value")
    if words and not getattr(index, "skip", ()):
        yield _COMMON


def _written(one: ResolvedRule, direction: str) -> tuple[BlockSyntax, ...]:
    said = one.shared.request if direction == "request" else one.shared.response
    return said if isinstance(said, tuple) else ()


def _blocks(one: ResolvedRule) -> tuple[Block, ...]:
    return one.rule.blocks_of("response")
