"""Readers of forms in parts, each lax in its own way: what some backend takes a body for.

`all_of` gives every name and content that one of them finds, so that a fuzzer can look whether a
value that should have been sealed can be read under a name that was selected.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Final
from urllib.parse import unquote

Field = tuple[str, bytes]
Reader = Callable[[str, bytes], Iterator[Field]]

_NAME: Final = re.compile(
    rb"""\bname\*?(?:\d\*?)?\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^;\s]*))"""
)
_BLANK: Final = re.compile(rb"\r?\n\r?\n|\r\r")


def all_of(content_type: str, body: bytes) -> Iterator[Field]:
    """Yield every name and content that some reader finds; a name may come more than once."""
    for reader in READERS:
        yield from reader(content_type, body)


def names(name: str, selected: str) -> bool:
    """Tell whether a lax backend takes a name for the selected one."""
    plain = unquote(name).split("\0")[0].strip().casefold()
    return selected in {plain, plain.partition("[")[0], plain.strip("[]")}


def _split(delimiter: bytes, body: bytes) -> Iterator[Field]:
    """Split at the delimiter, wherever it stands, and look for names with a pattern."""
    for piece in body.split(delimiter) if delimiter in body else ():
        head, blank, content = _halves(piece)
        if blank:
            for match in _NAME.finditer(head):
                spelled = next(one for one in match.groups() if one is not None)
                yield spelled.replace(b"\\", b"").decode("utf-8", "replace"), content


def _halves(piece: bytes) -> tuple[bytes, bytes, bytes]:
    match = _BLANK.search(piece)
    if match is None:
        return piece, b"", b""
    return piece[: match.start()], match[0], piece[match.end() :]


def _by_every_boundary(content_type: str, body: bytes) -> Iterator[Field]:
    """Take for the boundary whatever follows the word, with or without its quotes."""
    for match in re.finditer(r"boundary\*?\d?\*?\s*=\s*", content_type, re.IGNORECASE):
        rest = content_type[match.end() :]
        for boundary in {
            rest,
            *re.findall(r'^"([^"]*)"', rest),
            *re.findall(r"^'([^']*)'", rest),
            re.split(r"[;,]", rest)[0],
            re.split(r"[;,\s]", rest)[0].strip("\"'"),
        }:
            if boundary:
                yield from _split(b"--" + boundary.encode("latin-1", "replace"), body)


def _by_first_line(_: str, body: bytes) -> Iterator[Field]:
    """Take the first line for the delimiter, as small servers do."""
    line = re.split(rb"\r?\n", body.lstrip(b"\r\n"), maxsplit=1)[0]
    if line:
        yield from _split(line, body)


def _as_mail(content_type: str, body: bytes) -> Iterator[Field]:
    """Read it as a mail, parts within parts and transfer encodings included."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = email.message_from_bytes(head + body, EmailMessage, policy=email.policy.compat32)
    for part in message.walk():
        content = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, tuple):
            name = name[2]
        if isinstance(name, str) and isinstance(content, bytes):
            yield name, content


READERS: Final[tuple[Reader, ...]] = (_by_every_boundary, _by_first_line, _as_mail)
