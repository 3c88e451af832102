"""Lists of words that are too common to be searched: how often a tag occurs would name its word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_ENGLISH: Final = """
the be to of and a in that have i it for not on with he as you do at this but his by from they we
say her she or an will my one all would there their what so up out if about who get which go me is
are was were has had been can no just him know your our am did its it's i'm don't
"""
COMMON: Final[Mapping[str, frozenset[str]]] = {"common-en": frozenset(_ENGLISH.split())}
"""Each list by its name in `skip`. It never changes: its words have no tags."""
