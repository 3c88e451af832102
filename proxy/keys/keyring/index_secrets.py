"""Index secrets: what the tags are made with by which backends search, in up to two generations.

They are no KEKs: rotating or destroying those breaks no index. While a generation is being replaced
values get tags of both, and searches go by the older one, which every value has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...core.crypto import derivation
from ...core.crypto.secret import IndexSecret
from ...core.errors import KeyringError
from ...core.rules.model import Rule
from ..policy import MAX_INDEX_SECRETS
from .kek import mark_of


@dataclass(frozen=True, slots=True)
class IndexGeneration:
    """An index secret, the number of its generation, and since when (seconds since 1970).

    `turned` is when values in the equal form came to be sealed by it, and no more by the one before
    it, and `settled` when every process did so; 0: they do not yet, or it is not known.
    """

    key: IndexSecret
    generation: int
    since: int
    turned: int = 0
    settled: int = 0

    @property
    def id(self) -> str:
        """Four characters of its thumbprint."""
        return mark_of(derivation.key_thumbprint(self.key))


def check(secrets: Sequence[IndexGeneration]) -> None:
    """Raise KeyringError for generations that cannot be: the older one is first."""
    numbers = [one.generation for one in secrets]
    if len(numbers) > MAX_INDEX_SECRETS:
        raise KeyringError(f"a keyring holds at most {MAX_INDEX_SECRETS} index secrets")
    if numbers != sorted(set(numbers)) or any(one < 1 for one in numbers):
        raise KeyringError("the index secrets of a keyring are of rising generations")
    if any(min(one.since, one.turned, one.settled) < 0 for one in secrets):
        raise KeyringError("an index secret's time is at least 0")


def sealing(secrets: Sequence[IndexGeneration]) -> int:
    """Return the generation by which values in the equal form are sealed; 0 without any."""
    if not secrets:
        return 0
    return secrets[-1 if secrets[-1].turned else 0].generation


def absent(secrets: Sequence[IndexGeneration], rules: Iterable[Rule]) -> str | None:
    """Return what to tell of a keyring that lacks the secret that rules index with."""
    fields = sorted({item.field for rule in rules for item in rule.comparable})
    if secrets or not fields:
        return None
    return (
        f"the keyring has no index secret, so values of {', '.join(fields)} are refused: make one"
        " with `sealyard keys rotate-index`, and distribute the keyring"
    )


def latest(
    ours: tuple[IndexGeneration, ...], theirs: tuple[IndexGeneration, ...]
) -> tuple[IndexGeneration, ...]:
    """Return the index secrets of two states of a keyring: a generation that is gone stays gone.

    Raises KeyringError where they have different secrets of one generation.
    """
    known = {one.generation: one.key for one in ours}
    for one in theirs:
        if known.get(one.generation, one.key) != one.key:
            raise KeyringError(f"index secret {one.generation} is another one there")
    # What has the same latest generation and fewer of them has dropped the others.
    return max(ours, theirs, key=_progress)


def _progress(secrets: tuple[IndexGeneration, ...]) -> tuple[int, ...]:
    if not secrets:
        return ()
    last = secrets[-1]
    return last.generation, -len(secrets), last.turned, last.settled
