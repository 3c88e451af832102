"""Elements of a response in which a name has a second reading: what is sealed in them stays so.

Whoever stored such an element may have meant Sealyard to open it under one name and the backend to
give it out under another. A list has elements of many clients, so the rest of it is opened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from .formats.json import Findings, Path
from .placed import Placed
from .sources import JsonSource


class Spoiled:
    """Where twins stand: `sources` are those that each item asks for, with their index."""

    __slots__ = ("_at", "_sources", "_within")

    def __init__(self, findings: Findings, sources: Mapping[JsonSource, int]) -> None:
        """Take what a walk has found."""
        self._sources = sources
        self._at: dict[int, set[Path]] = defaultdict(set)
        for path, selectors in findings.twins:
            for one in selectors:
                self._at[one].add(path)
        self._within: dict[tuple[int, int], set[Path]] = {}

    def touches(self, placed: Placed, path: Path) -> bool:
        """Tell whether a value, or a name that binds it, has a twin."""
        if _leads_through(path, self._at.get(placed.index, set()), len(path)):
            return True
        return any(
            _leads_through(path, self._of_source(index, shared), shared)
            for source, index in self._sources.items()
            for shared in (placed.shared.get(source, 0),)
        )

    def touches_names(self) -> bool:
        """Tell whether a name has a twin that binds what stands anywhere."""
        return any(index in self._at for index in self._sources.values())

    def _of_source(self, index: int, shared: int) -> set[Path]:
        """Return the elements, of so many steps at most, in which a source has a twin."""
        found = self._within.get((index, shared))
        if found is None:
            found = {one[:shared] for one in self._at.get(index, ())}
            self._within[index, shared] = found
        return found


def _leads_through(path: Path, places: set[Path], most: int) -> bool:
    return bool(places) and any(path[:size] in places for size in range(most + 1))
