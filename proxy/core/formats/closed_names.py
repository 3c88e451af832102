"""Closed forms: the names that pairs and parts may have beside those that a block selects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .json.closed import ClosedJson, is_json_text, look_like_a_name, refuse


class ClosedNames:
    """The names that a block lists.

    `changed` are those that it seals or opens, `plain` those whose texts pass, `inner` those whose
    texts are JSON with places of their own. `seals`: values of other names are sealed.
    """

    __slots__ = ("_inner", "_known", "_plain", "seals")

    def __init__(
        self,
        changed: Iterable[str],
        plain: Iterable[str],
        inner: Mapping[str, ClosedJson],
        *,
        seals: bool,
    ) -> None:
        """List the names."""
        self._plain = frozenset(plain)
        self._inner = inner
        self._known = frozenset({*changed, *self._plain, *inner})
        self.seals = seals

    def lists(self, name: str) -> bool:
        """Return whether a name is listed.

        Raises UnlistedName where it is not, unless values are sealed and it is no data itself.
        """
        if name in self._known:
            return True
        if not self.seals:
            refuse((name,))
        look_like_a_name((name,))
        return False

    def refuse(self, name: str) -> None:
        """Raise UnlistedName for a name that is not listed, whatever becomes of values."""
        if name not in self._known:
            refuse((name,))

    def reads(self, name: str) -> bool:
        """Return whether `look_at` has to read the text of a name."""
        return name in self._plain or name in self._inner

    def look_at(self, name: str, text: bytes) -> None:
        """Raise UnlistedName for a text of a plain name that is JSON, and for what JSON holds.

        Raises InvalidBody for what is to be JSON and is not.
        """
        inner = self._inner.get(name)
        if inner is not None:
            inner.refuse_others(text, (name,))
        elif name in self._plain and is_json_text(text.decode(errors="replace")):
            refuse((name,))
