"""Content-Disposition of a response (RFC 6266): its filename, and how another is spelled there.

One that readers would understand in different ways has no filename here.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..errors import InvalidBody, OpenFailed
from .encoded_text import as_extended, decoded, extended
from .message import TOKEN

NAME: Final = "content-disposition"
"""The name of the header, in lower case."""

_TYPE: Final = re.compile(TOKEN)
_PARAMETER: Final = re.compile(
    rb"[ \t]*+;[ \t]*+(%s)[ \t]*+=[ \t]*+"
    rb'(?:"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*+)"|(%s))' % (TOKEN, TOKEN)
)
_END: Final = re.compile(rb"[ \t]*+;?[ \t]*+")
_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SEPARATORS: Final = re.compile(r"[/\\]")
# RFC 6266, appendix D: without quotes, backslashes and `%`, which readers treat differently.
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9 !#$&'()+,.=@\[\]^_`{}~-]")


class FileDisposition(NamedTuple):
    """A Content-Disposition: its filename, and what is before and after the parameters with it."""

    filename: bytes
    before: bytes
    after: bytes

    def spell(self, text: bytes) -> bytes:
        """Return the header's value with another filename, which is in UTF-8.

        `filename` has what all readers read alike, and `_` for the rest; `filename*` has all of it
        where that is not the same. Slashes and backslashes are `_` in both: the backend, which
        would have removed a path, could not see it.

        Raises OpenFailed for control characters and line separators.
        """
        name = text.decode()
        if _CONTROL.search(name):
            raise OpenFailed("control-in-header")
        name = _SEPARATORS.sub("_", name)
        if not name.strip(". "):
            name = "_"
        plain = _UNSAFE.sub("_", name)
        spelled = b'; filename="%b"' % plain.encode("ascii")
        if plain != name:
            spelled += b"; filename*=" + as_extended(name)
        return self.before + spelled + self.after


def read(value: bytes) -> FileDisposition | None:
    """Return what a Content-Disposition says, None if it has no filename or more than one."""
    kind = _TYPE.match(value)
    if kind is None:
        return None
    names: dict[bytes, bytes] = {}
    before = after = b""
    at = kind.end()
    while (match := _PARAMETER.match(value, at)) is not None:
        start, at = at, match.end()
        name = match[1].lower()
        if not name.startswith(b"filename"):
            after += value[start:at]
            continue
        if name in names:
            return None
        if not names:
            before, after = value[: kind.end()] + after, b""
        names[name] = match[3] if match[2] is None else _PAIR.sub(rb"\1", match[2])
    end = _END.fullmatch(value, at)
    filename = _filename(names)
    return None if end is None or filename is None else FileDisposition(filename, before, after)


def _filename(names: dict[bytes, bytes]) -> bytes | None:
    """Return the one filename that the parameters give; else None."""
    if not names or names.keys() - {b"filename", b"filename*"}:
        return None  # continuations (RFC 2231) among them, which not all read
    try:
        texts = {
            extended(one) if name[-1:] == b"*" else decoded(one) for name, one in names.items()
        }
    except InvalidBody:
        return None
    return texts.pop() if len(texts) == 1 else None
