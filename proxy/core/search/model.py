"""How the values of a field are indexed, as the configuration declares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..crypto.context import Scope
from ..errors import NotIndexable
from .normal_forms import NormalForm, normalize
from .tags import IndexKeys
from .words import words

IndexScope = Literal["conversation", "tenant"]


@dataclass(frozen=True, slots=True)
class ExactIndex:
    """Values of a field that are found by equality, within one scope."""

    normalize: NormalForm
    scope: IndexScope = "conversation"

    def tags(self, keys: IndexKeys, scope: Scope, field: str, text: str) -> list[str]:
        """Return the one tag of a value; raise NotIndexable where nothing of it is left."""
        normal = normalize(self.normalize, text)
        return [keys.exact_tag(index_scope(self.scope, scope), field, normal)]


@dataclass(frozen=True, slots=True)
class WordsIndex:
    """Values of a field that are found by their words, within one scope.

    Words of `skip` have no tag; a value of more than `most` other words is refused.
    """

    scope: IndexScope = "conversation"
    skip: frozenset[str] = frozenset()
    most: int = 80

    def tags(self, keys: IndexKeys, scope: Scope, field: str, text: str) -> list[str]:
        """Return the tags of a value; raise NotIndexable for a value that cannot be indexed."""
        found = self.indexed(text)
        if len(found) > self.most:
            raise NotIndexable(
                "too-many-words", detail=f"at most {self.most} distinct words can be indexed."
            )
        return keys.word_tags(index_scope(self.scope, scope), field, found)

    def indexed(self, text: str) -> list[str]:
        """Return the distinct words of a text that have tags, in their order."""
        found = words(text)
        return [one for one in found if one not in self.skip] if self.skip else found


FieldIndex = ExactIndex | WordsIndex


def index_scope(kind: IndexScope, scope: Scope) -> Scope:
    """Return the scope in which tags can be compared, for values sealed in a scope."""
    return scope if kind == "conversation" else Scope(scope.tenant)
