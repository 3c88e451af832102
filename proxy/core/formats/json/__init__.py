"""JSON (RFC 8259): where the selected values lie in these very bytes.

The walk goes down only where a selector leads; everything else is skipped, and thereby checked, by
the standard library's C scanner. Nothing is re-emitted, so spellings of numbers, escapes, spaces
and the order of members stay as they came.
"""

from __future__ import annotations

from .lexer import Findings as Findings
from .lexer import FoundValue as FoundValue
from .lexer import Path as Path
from .selection import Selection as Selection
from .selection import is_valid as is_valid
from .selection import member_names as member_names
from .selection import validate as validate
from .text import escape as escape
from .text import quote as quote
from .text import shield as shield
from .text import unescape as unescape
from .text import unescaped as unescaped
