"""Tags cut from answers that no rule reads: by tags, whoever gets them compares what is sealed."""

from __future__ import annotations

import re
from typing import Final

from ..errors import UpstreamFailed
from ..formats.json.text import quote
from ..formats.spelled import Said, in_members, whole_of, without_members
from ..http.message import ResponseHead
from ..leaves.tokens import JWE_PREFIX, LEFT_TAGS_PATTERN
from ..policy import PIECE_BYTES

_CHARS: Final = b"A-Za-z0-9_-"
_TIME: Final = 11
"""Characters of the time in the short form, up to which it is a token for sure."""
_BEGINNING: Final = re.compile(rb"%b|sy1\.A[%b]{%d}" % (JWE_PREFIX, _CHARS, _TIME))
_REST: Final = re.compile(rb"[.%b]*+" % _CHARS)
_MAYBE_TAGS: Final = re.compile(rb"(?:~[a-z2-7~]*+)?")
_SPACE: Final = rb"[ \t\r\n]*+"
_OPEN_MEMBER: Final = re.compile(rb"%b(?::%b(?:\"[a-z2-7~]*+)?)?" % (_SPACE, _SPACE))
_OPEN_SHORT: Final = re.compile(rb"s(?:y(?:1(?:\.(?:A[%b]{,%d})?)?)?)?" % (_CHARS, _TIME - 1))
_OPEN_CHARS: Final = len(JWE_PREFIX) - 1
"""More characters are no beginning of a token, but one: both forms are known by as many."""
_PARTIAL_CONTENT: Final = 206


def refuse_uncuttable(head: ResponseHead) -> None:
    """Raise UpstreamFailed for an answer in which tags cannot be found: parts, or a coding."""
    types = [one.lower() for one in head.facts.get(b"content-type", ())]
    wide = any(b"utf-16" in one or b"utf-32" in one for one in types)
    partial = any(one.startswith(b"multipart/byteranges") for one in types)
    codings = [one.strip().lower() for one in head.facts.get(b"content-encoding", ())]
    if head.status == _PARTIAL_CONTENT or partial or wide or set(codings) - {b"", b"identity"}:
        raise UpstreamFailed(
            "tags-not-cut",
            detail="It may have tags of sealed values, and is a part, or in a coding.",
        )


class TagsCut:
    """A flow that leaves out tags: those behind tokens, and those in `members` of JSON.

    It holds back what may be the beginning of a token, of tags or of such a member, until more
    comes or the body ends.
    """

    __slots__ = ("_held", "_in_token", "_members", "_names")

    holds_head: Final = False

    def __init__(self, members: frozenset[str]) -> None:
        """Begin with nothing seen."""
        self._names = [quote(one).encode() for one in sorted(members)]
        self._members = in_members(members) if members else None
        self._held = b""
        self._in_token = False

    def length(self, length: int | None) -> int | None:
        """Return None: how many tags there are is not known."""
        return None if length else length

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the body, and return what may go on."""
        return self._cut(self._held + data, last=False)

    def end(self) -> bytes:
        """Return what was held back."""
        return self._cut(self._held, last=True)

    def _cut(self, raw: bytes, *, last: bool) -> bytes:
        whole = len(raw) if last else whole_of(raw)
        raw, late = raw[:whole], raw[whole:]
        if self._members is not None:
            raw = without_members(raw, self._members)
        said = Said(raw)
        text, place = said.text, said.place
        cuts: list[tuple[int, int, bytes]] = []
        at = 0
        while True:
            if not self._in_token:
                found = _BEGINNING.search(text, at)
                if found is None:
                    break
                at, self._in_token = found.end(), True
            rest = _REST.match(text, at)
            assert rest is not None  # noqa: S101 - it matches anything
            at = rest.end()
            maybe = _MAYBE_TAGS.match(text, at)
            assert maybe is not None  # noqa: S101 - it matches anything
            open_ended = maybe.end() == len(text)
            if open_ended and not last and len(text) - at <= PIECE_BYTES:
                break
            tags = LEFT_TAGS_PATTERN.match(text, at)
            if tags is not None:
                cuts.append((*tags.span(), b""))
                at = tags.end()
            self._in_token = False
        keep = len(text)
        if not last:
            keep = at if self._in_token else self._begun(text, at)
        kept = place(keep)
        self._held = raw[kept:] + late
        return said.spliced(cuts, kept)

    def _begun(self, text: bytes, at: int) -> int:
        """Return where a token or a member begins that is not whole; the end where there is none.

        It is behind `at`, and not more than `PIECE_BYTES` from the end.
        """
        end = begun = len(text)
        for one in range(max(at, end - _OPEN_CHARS), end):
            if JWE_PREFIX.startswith(text[one:]) or _OPEN_SHORT.fullmatch(text, one):
                begun = one
                break
        for name in self._names:
            whole = text.rfind(name, max(at, end - PIECE_BYTES))
            if whole >= 0 and _OPEN_MEMBER.fullmatch(text, whole + len(name)):
                begun = min(begun, whole)
            else:
                parts = range(max(at, end - len(name) + 1), end)
                begun = min(begun, *(one for one in parts if name.startswith(text[one:])), end)
        return begun
