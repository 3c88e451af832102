"""Content-Disposition of a part of a form (RFC 7578 section 4.2), read as strictly as can be.

Readers disagree on backslashes, single quotes, a second `name`, parameters in pieces or with a
charset (RFC 2231), and some look for `name=` with a pattern of their own. What any of them could
take for another name is refused.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..errors import InvalidBody, OpenFailed

_CHARACTER: Final = rb"[A-Za-z0-9!#$&+.^_`|~-]"  # without `'`, a quote to PHP, `%` and `*`
_TOKEN: Final = _CHARACTER + rb"+"
_TEXT: Final = rb'[^"\\\x00-\x1f\x7f]*'
_DISPOSITION: Final = re.compile(
    rb'form-data; *name=(?:"(%b)"|(%b))(?:; *filename=(?:"(%b)"|(%b))'
    rb"(?:; *filename\*=(?i:utf-8)''(?:%%[0-9A-Fa-f]{2}|%b)*)?)?"
    % (_TEXT, _TOKEN, _TEXT, _TOKEN, _CHARACTER)
)
PARAMETER: Final = re.compile(rb"name[0-9*]*\s*=", re.IGNORECASE)
"""What some readers look for in all of a head."""
_CONTROL_OR_BACKSLASH: Final = re.compile(rb"[\x00-\x1f\x7f\\]")
_QUOTED: Final = {b'"': b"%22", b"\r": b"%0D", b"\n": b"%0A"}
_SPELLED: Final = re.compile(rb'["\r\n]')


class Filename(NamedTuple):
    """Where a filename lies, its quotes aside. `repeated`: it stands there a second time."""

    start: int
    end: int
    quoted: bool
    repeated: bool

    def spell(self, text: bytes) -> bytes:
        """Return another text as it is spelled there.

        Raises OpenFailed for what cannot stand there in one reading.
        """
        spelled = _as_browsers_do(text)
        if _CONTROL_OR_BACKSLASH.search(spelled) or PARAMETER.search(spelled):
            raise OpenFailed("not-a-filename")
        if self.quoted or re.fullmatch(_TOKEN, spelled):
            return spelled
        return b'"%b"' % spelled


class Disposition(NamedTuple):
    """The name of a part as it is spelled, and its filename if it is a file."""

    name: str
    filename: Filename | None


def read(value: bytes, at: int) -> Disposition:
    """Return what a Content-Disposition says whose value begins at `at`.

    Raises InvalidBody where it could be read in more than one way, or names nothing.
    """
    match = _DISPOSITION.fullmatch(value)
    if match is None:
        raise InvalidBody("part-disposition")
    quoted, bare, quoted_file, bare_file = match.groups()
    name = bare if quoted is None else quoted
    if not name:
        raise InvalidBody("part-without-name")
    if PARAMETER.search(name) or PARAMETER.search(quoted_file or b""):
        raise InvalidBody("part-name-in-value")
    filename = None
    if quoted_file is not None or bare_file is not None:
        number = 4 if quoted_file is None else 3
        start, end = match.span(number)
        repeated = b"*=" in value[end:]
        filename = Filename(at + start, at + end, quoted_file is not None, repeated)
    return Disposition(name.decode(), filename)  # all of the head is UTF-8: see `multipart`


def spell_name(name: str) -> str:
    """Return a name as browsers spell it between quotes (HTML, section 4.10.21.8)."""
    return _as_browsers_do(name.encode()).decode()


def _as_browsers_do(text: bytes) -> bytes:
    return _SPELLED.sub(lambda match: _QUOTED[match[0]], text)
