"""What a body must not be as well, where a rule seals it: a form that some reader takes for JSON.

Frameworks parse by what they are told, by what they see, or try one after the other: Flask with
`force`, Express with a lax `type`, Go and PHP handlers that read the body as they like.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from .errors import UnsupportedBody

_BEGINNING: Final = 256
# Readers of JSON skip blanks and a byte order mark, lax ones comments: of C, of scripts, of markup.
_SKIPPED: Final = re.compile(
    rb"(?:[\s\x00]|\xef\xbb\xbf|/\*.*?\*/|//[^\r\n]*[\r\n]|#[^\r\n]*[\r\n]|<!--.*?-->)*+", re.DOTALL
)
# An object, a list that is no name in brackets (`[a]=1`), markup, a delimiter of parts.
_OTHER: Final = re.compile(rb"\{|\[(?![A-Za-z0-9_.-]*\][=\[])|<|--[^=&\r\n]*[\r\n]")


def refuse_in_form(body: bytes) -> None:
    """Raise UnsupportedBody for a form that begins as JSON, XML or a form in parts does.

    An honest one cannot: its names are words, and what else stands in them is encoded.
    """
    begin = _SKIPPED.match(body).end()  # type: ignore[union-attr]  # it matches nothing as well
    told = body[begin : begin + _BEGINNING]
    if _OTHER.match(told) or _OTHER.match(unquote_to_bytes(told)):
        raise UnsupportedBody(
            "form-reads-otherwise",
            detail="The form could be read as JSON, XML or parts: if it is JSON, give the rule a"
            " block with `format: json`.",
        )
