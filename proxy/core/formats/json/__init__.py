"""JSON (RFC 8259): where the selected values lie in these very bytes.

The walk goes down only where a selector leads; everything else is skipped, and thereby checked, by
the standard library's C scanner. Nothing is re-emitted, so spellings of numbers, escapes, spaces
and the order of members stay as they came.
"""

from __future__ import annotations

from .lexer import Findings, FoundValue, Path
from .selection import Selection, is_valid, member_names, validate
from .text import escape, quote, shield, unescape, unescaped

__all__ = [
    "Findings",
    "FoundValue",
    "Path",
    "Selection",
    "escape",
    "is_valid",
    "member_names",
    "quote",
    "shield",
    "unescape",
    "unescaped",
    "validate",
]
