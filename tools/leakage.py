"""`python -m tools.leakage`: what an index by words gives away, as the table in the documentation.

The texts are English sentences of the documentation that comes with Python (its topics and the
docstrings of its library), so that the table can be made again wherever Python is. Half of them
are stored at a backend; the other half is what an attacker knows of such texts. The attacker sees
all tags, and names words by matching ranks: the commonest tag is the commonest word. One who also
knows some stored texts takes a tag for a word where both occur in the same of them.
"""

from __future__ import annotations

import ast
import pydoc_data.topics
import re
import sys
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random  # noqa: TID251 - the same texts in every run
from typing import Final

from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import IndexSecret
from proxy.core.search.skipped import COMMON
from proxy.core.search.tags import IndexKeys, listed
from proxy.core.search.words import words

SENTENCES: Final = 13_000
"""So many texts are taken."""
CONVERSATION: Final = 65
"""So many texts have one scope, where that is the conversation."""
LENGTHS: Final = (2, 3, 4, 5, 6, 8)
"""Characters of base32 of a tag, that of the generation aside."""
KNOWN: Final = (50, 200, 1_000)
"""So many of the stored texts an attacker knows."""
USUAL: Final = 4
"""The length that tags have."""
COMMONEST: Final = 60
"""So many words, the commonest of the texts, are skipped by whoever knows the own texts."""
_QUERIES: Final = 500
_SEED: Final = 7
_TEXT: Final = 60
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")
_PLAIN: Final = re.compile(r"[A-Z][A-Za-z0-9 ,;'()-]{25,200}[.!?]")

Text = tuple[str, ...]
"""The distinct words of a stored text."""


def sentences() -> list[str]:
    """Return English sentences of the documentation of this Python, each once, in one order."""
    found = dict.fromkeys(one for text in _texts() for one in _SENTENCE.split(_joined(text)))
    plain = [one for one in found if _PLAIN.fullmatch(one)]
    Random(_SEED).shuffle(plain)  # noqa: S311 - an order, no secret
    return plain[:SENTENCES]


def _joined(text: str) -> str:
    return " ".join(text.split())


def _texts() -> Iterator[str]:
    for text in pydoc_data.topics.topics.values():
        yield from text.split("\n\n")
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.glob("*.py")) + sorted(library.glob("*/*.py")):
        if not {"site-packages", "test", "tests", "idlelib"} & set(path.parts):
            yield from _docstrings(path)


def _docstrings(path: Path) -> Iterator[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)) is not None:
            yield from text.split("\n\n")


class Tags:
    """The tags of words of a given length, for an attacker who sees only them."""

    def __init__(self, length: int) -> None:
        """Begin with a secret that is the same in every run."""
        self._keys = IndexKeys(IndexSecret(bytes(range(32))), 1)
        self._length = length
        self._known: dict[tuple[int, str], str] = {}

    def of(self, word: str, scope: int = 0) -> str:
        """Return the tag of a word in a scope."""
        tag = self._known.get((scope, word))
        if tag is None:
            full = self._keys.exact_tag(Scope("t", str(scope)), "content", word)
            tag = self._known[scope, word] = full[: 1 + self._length]
        return tag


def false_candidates(stored: Sequence[Text], length: int, queries: Iterable[str]) -> float:
    """Return how many texts without the word a query finds, on average."""
    tags, by_tag = Tags(length), Counter[str]()
    holding = Counter[str]()
    for text in stored:
        by_tag.update({tags.of(word) for word in text})
        holding.update(text)
    found = [by_tag[tags.of(word)] - holding[word] for word in queries]
    return sum(found) / len(found)


def characters(texts: Sequence[str], length: int, skip: frozenset[str]) -> float:
    """Return how many characters stand behind a text of about sixty, on average."""
    tags = Tags(length)
    sizes = [
        len(listed(tags.of(word) for word in set(words(text)) - skip))
        for text in texts
        if abs(len(text) - _TEXT) <= _TEXT // 10
    ]
    return sum(sizes) / len(sizes)


def named_by_rank(
    stored: Sequence[Text], known: Sequence[Text], length: int, scope_size: int | None = None
) -> float:
    """Return the share of occurrences whose word is named by matching ranks, scope by scope."""
    ranks = [word for word, _ in _ranked(known)]
    size, right, total = scope_size or len(stored), 0, 0
    for scope, at in enumerate(range(0, len(stored), size)):
        texts, tags = stored[at : at + size], Tags(length)
        seen = [tuple(tags.of(word, scope) for word in text) for text in texts]
        guesses = dict(zip((tag for tag, _ in _ranked(seen)), ranks, strict=False))
        for text, its in zip(texts, seen, strict=True):
            right += sum(guesses.get(tag) == word for word, tag in zip(text, its, strict=True))
            total += len(text)
    return right / total


def _ranked(texts: Iterable[Text]) -> list[tuple[str, int]]:
    """Return what occurs in texts, the commonest first; of what is as common, by its spelling."""
    counts = Counter(one for text in texts for one in text)
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def named_by_known(stored: Sequence[Text], count: int) -> float:
    """Return the share of occurrences that are named by one who knows so many stored texts."""
    tags = Tags(USUAL)
    candidates: dict[str, set[str]] = {}
    for text in stored[:count]:
        its = {tags.of(word) for word in text}
        for word in text:
            candidates[word] = candidates.get(word, its) & its
    without: dict[str, int] = defaultdict(int)
    for text in stored[:count]:
        for word in text:
            without[tags.of(word)] += 1
    holding = Counter(word for text in stored[:count] for word in text)
    named = {
        word
        for word, found in candidates.items()
        if {tag for tag in found if without[tag] == holding[word]} == {tags.of(word)}
    }
    occurrences = [word for text in stored for word in text]
    return sum(word in named for word in occurrences) / len(occurrences)


def commonest(texts: Iterable[Text]) -> frozenset[str]:
    """Return the commonest words of texts."""
    return frozenset(word for word, _ in _ranked(texts)[:COMMONEST])


def without(texts: Iterable[Text], skip: frozenset[str]) -> list[Text]:
    """Return texts without the words that have no tags."""
    return [tuple(word for word in text if word not in skip) for text in texts]


def table() -> Iterator[str]:
    """Yield the lines of the table, as Markdown."""
    texts = sentences()
    all_words = [tuple(words(one)) for one in texts]
    half = len(texts) // 2
    skip = COMMON["common-en"]
    skipped = without(all_words, skip)
    vocabulary = sorted({word for text in skipped for word in text})
    queries = Random(_SEED).sample(vocabulary, _QUERIES)  # noqa: S311 - no secret
    yield f"{len(texts):,} sentences, {len({w for t in all_words for w in t}):,} words"
    yield ""
    yield "| tags | false candidates a query | characters behind a text of 60 | named |"
    yield "|---|--:|--:|--:|"
    for length in LENGTHS:
        yield _row(
            f"{length} characters",
            false_candidates(all_words[:half], length, queries),
            characters(texts, length, frozenset()),
            named_by_rank(all_words[:half], all_words[half:], length),
        )
    own = commonest(all_words)
    for told, left_out in (("`common-en`", skip), (f"the {COMMONEST} commonest of the texts", own)):
        rest = without(all_words, left_out)
        false = false_candidates(rest[:half], USUAL, set(queries) - left_out)
        behind = characters(texts, USUAL, left_out)
        rank = named_by_rank(rest[:half], rest[half:], USUAL)
        yield _row(f"{USUAL}, without {told}", false, behind, rank)
        narrow = named_by_rank(rest[:half], rest[half:], USUAL, CONVERSATION)
        name = f"the same, scope conversation ({CONVERSATION} texts)"
        yield f"| {name} | 0 | {behind:.0f} | {narrow:.1%} |"
    for count in KNOWN:
        share = named_by_known(skipped[:half], count)
        yield f"| scope tenant, {count:,} of {half:,} texts known | | | {share:.0%} |"


def _row(name: str, false: float, behind: float, named: float) -> str:
    return f"| {name} | {false:.2f} | {behind:.0f} | {named:.1%} |"


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in table()))
