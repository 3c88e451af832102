"""The table of what an index by words gives away is within its bounds.

The bounds are those of a corpus of 13,178 sentences with 5.4 words each that are no more than 4,297
different ones. Ours has others, so each bound is carried over by its law.
"""

from __future__ import annotations

from functools import cache

import pytest

from proxy.core.search.skipped import COMMON
from proxy.core.search.words import words
from tools import leakage
from tools.leakage import CONVERSATION, LENGTHS, Text

HALF_OF_BOUNDS = 6_500
"""So many texts were stored where the bounds come from."""


@cache
def corpus() -> tuple[list[str], list[Text], int]:
    texts = leakage.sentences()
    return texts, [tuple(words(one)) for one in texts], len(texts) // 2


@cache
def halves(*, skip: str) -> tuple[list[Text], list[Text]]:
    _, found, half = corpus()
    left_out = COMMON.get(skip, frozenset()) if skip != "own" else leakage.commonest(found)
    rest = leakage.without(found, left_out)
    return rest[:half], rest[half:]


@pytest.mark.parametrize("length", LENGTHS)
def test_false_candidates_are_what_chance_gives(length: int) -> None:
    """A query meets each stored word that is another one with the chance of its tag."""
    stored, _ = halves(skip="")
    queries = sorted({word for text in stored for word in text})[::13]
    found = leakage.false_candidates(stored, length, queries)
    expected = sum(map(len, stored)) / 32**length
    assert found == pytest.approx(expected, rel=0.3, abs=0.06)


@pytest.mark.parametrize("length", LENGTHS)
def test_behind_a_text_stand_its_words_with_their_marks(length: int) -> None:
    """Each word costs its tag and two characters; short tags that meet are one."""
    texts, found, _ = corpus()
    sized = [len(its) for one, its in zip(texts, found, strict=True) if abs(len(one) - 60) <= 6]
    expected = 1 + (length + 2) * sum(sized) / len(sized)
    assert leakage.characters(texts, length, frozenset()) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("skip", "scope", "most"),
    [
        ("", None, 0.31),
        ("common-en", None, 0.08),
        ("common-en", CONVERSATION, 0.04),
        ("own", None, 0.017),
        ("own", CONVERSATION, 0.004),
    ],
)
def test_words_named_by_their_ranks_are_no_more_than_told(
    skip: str, scope: int | None, most: float
) -> None:
    """A list of a language leaves words in that are common in a trade: more are named by them."""
    stored, known = halves(skip=skip)
    assert 0 < leakage.named_by_rank(stored, known, 4, scope) <= most


@pytest.mark.parametrize(("known", "most"), [(50, 0.11), (200, 0.44), (1_000, 0.82)])
def test_words_named_by_known_texts_are_no_more_than_told(known: int, most: float) -> None:
    """What counts is which share of the stored texts is known."""
    stored, _ = halves(skip="common-en")
    share = round(known * len(stored) / HALF_OF_BOUNDS)
    assert 0 < leakage.named_by_known(stored, share) <= most
