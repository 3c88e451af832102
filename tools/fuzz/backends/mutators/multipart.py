"""Forms in parts: heads, delimiters and what stands outside of the parts."""

from __future__ import annotations

import base64
import random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from collections.abc import Callable, Mapping
from typing import Final

from ..case import CANARY
from ..draft import BOUNDARY, Draft, Part, bracketed, disposition
from .names import ruled


def _own(draft: Draft, rng: random.Random) -> tuple[int, str] | None:
    """Return where a part with a ruled name stands, and the name."""
    names = ruled(draft)
    found = [
        (at, name)
        for at, part in enumerate(draft.parts)
        for name in map(bracketed, names)
        if part.head and f'name="{name}"' in part.head[0]
    ]
    return rng.choice(found) if found else None


def _head(draft: Draft, rng: random.Random) -> bool:
    """A part whose name is written in another way."""
    own = _own(draft, rng) if draft.kind == "parts" else None
    if own is None:
        return False
    at, name = own
    ways = (
        f"Content-Disposition: form-data; name={name}",
        f"Content-Disposition: form-data; name='{name}'",
        f"Content-Disposition: form-data; name*=utf-8''{name}",
        f'Content-Disposition: form-data; name="x"; name="{name}"',
        f'Content-Disposition: form-data; name="{name}"; name="x"',
        f"Content-Disposition: form-data; name=\"x\"; name*=utf-8''{name}",
        f"Content-Disposition: form-data; name*0={name[:2]}; name*1={name[2:]}",
        f'content-disposition:form-data;name="{name}"',
        f'CONTENT-DISPOSITION: FORM-DATA; NAME="{name}"',
        f'Content-Disposition: form-data; filename="a"; name="{name}"',
        f'Content-Disposition: form-data; name="{name}"; filename="a"; filename*=utf-8\'\'b',
        f'Content-Disposition: form-data; name="{name}"; filename=""',
        f'Content-Disposition: form-data; x="; name=\\"x\\""; name="{name}"',
        f'Content-Disposition: form-data; name = "{name}"',
        f'Content-Disposition: form-data;\r\n name="{name}"',
        f'Content-Disposition: attachment; name="{name}"',
        f'Content-Disposition: name="{name}"',
        f'Content-Disposition: form-data; name="{name}',
        f'Content-Disposition: form-data; name="{name}" x',
        f'Content-Disposition: form-data, name="{name}"',
        f'X: y\r\nContent-Disposition: form-data; name="{name}"',
        f'Content-Disposition: form-data; name="x"\r\n{disposition(name)}',
        f'Content-Disposition : form-data; name="{name}"',
        f'\r\nContent-Disposition: form-data; name="{name}"',
    )
    draft.parts[at].head[0] = rng.choice(ways)
    return True


def _content(draft: Draft, rng: random.Random) -> bool:
    """A part with a coding or a type of its own, or more than a value in it."""
    own = _own(draft, rng) if draft.kind == "parts" else None
    if own is None:
        return False
    at, name = own
    part = draft.parts[at]
    way = rng.randrange(6)
    if way == 0 and CANARY not in part.content:
        part.head.append("Content-Transfer-Encoding: base64")
        part.content = base64.b64encode(part.content.encode("latin-1")).decode()
    elif way == 1:
        coding = rng.choice(("base64", "quoted-printable", "8bit", "x"))
        part.head.append(f"Content-Transfer-Encoding: {coding}")
    elif way == 2:
        kinds = (
            "application/json",
            "text/plain; charset=utf-16",
            "multipart/mixed; boundary=y",
            "text/html",
        )
        part.head.append(f"Content-Type: {rng.choice(kinds)}")
    elif way == 3:
        inner = f"\r\n--{BOUNDARY}\r\n{disposition(name)}\r\n\r\n{draft.value}"
        part.content += rng.choice((inner, inner.replace("\r\n", "\n"), inner.replace("--", "-- ")))
    elif way == 4:
        nested = "\r\n".join(
            ("--y", f'Content-Disposition: form-data; name="{name}"', "", draft.value, "--y--")
        )
        part.head.append("Content-Type: multipart/mixed; boundary=y")
        part.content = nested
    else:
        part.head.append(f"Content-Length: {rng.choice((0, 3, 9999))}")
    return True


def _delimiters(draft: Draft, rng: random.Random) -> bool:
    """Delimiters and lines that not everybody takes for such, and text outside of the parts."""
    if draft.kind != "parts":
        return False
    twin = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{draft.value}\r\n'
        for name in draft.route.fields
    )
    plain = "&".join(f"{name}={draft.value}" for name in map(bracketed, draft.route.fields))
    ways: tuple[Callable[[str], str], ...] = (
        lambda text: text.replace("\r\n", "\n"),
        lambda text: text.replace(f"--{BOUNDARY}\r\n", f"--{BOUNDARY} \r\n"),
        lambda text: text.replace(f"--{BOUNDARY}\r\n", f"--{BOUNDARY}\t\r\n", 1),
        lambda text: text.replace(f"--{BOUNDARY}--", f"--{BOUNDARY}"),
        lambda text: text.replace(f"--{BOUNDARY}--\r\n", ""),
        lambda text: text + twin + f"--{BOUNDARY}--\r\n",
        lambda text: "preamble\r\n" + text,
        lambda text: "\r\n" + text,
        lambda text: plain + "&\r\n" + text,
        lambda text: text + "&" + plain,
        lambda text: text + '{"card":1}',
        lambda text: f"--{BOUNDARY}--\r\n" + text,
        lambda text: text.replace(f"--{BOUNDARY}\r\n", f"--{BOUNDARY}x\r\n", 1),
        lambda text: text.replace(f"--{BOUNDARY}\r\n", f"--{BOUNDARY}\r\n\r\n", 1),
        lambda text: text.replace(f"\r\n--{BOUNDARY}", f"--{BOUNDARY}", 1),
        lambda text: text.replace(f"--{BOUNDARY}\r\n", f"--{BOUNDARY.upper()}\r\n", 1),
    )
    draft.frames.append(rng.choice(ways))
    return True


def _charset(draft: Draft, rng: random.Random) -> bool:
    """The field that tells the charset of a form."""
    told = rng.choice(("utf-8", "utf-7", "iso-8859-1", "utf-16le", ""))
    name = rng.choice(("_charset_", "_CHARSET_", "utf8", "_method"))
    if draft.kind == "form":
        draft.members.insert(0, (name, told))
    elif draft.kind == "parts":
        draft.parts.insert(0, Part([disposition(name)], told))
    else:
        return False
    return True


def _two_boundaries(draft: Draft, rng: random.Random) -> bool:
    """A type with a second boundary, for those who look for the word, and parts between it."""
    if draft.kind != "parts":
        return False
    other = "----other5a1c"
    parts = "".join(
        f"--{other}\r\n{disposition(name)}\r\n\r\n{draft.value}\r\n"
        for name in map(bracketed, ruled(draft))
    )
    inside = f"{parts}--{other}--\r\n"
    way = rng.choice(("part", "part", "before", "behind"))
    if way == "part":
        extra = Part([disposition("extra")], "x\r\n" + inside)
        draft.parts.insert(rng.randrange(len(draft.parts) + 1), extra)
    elif way == "before":
        draft.frames.append(lambda text: inside + text)
    else:
        draft.frames.append(lambda text: text + inside)
    types = (
        f"multipart/form-data; xboundary={other}; boundary={BOUNDARY}",
        f"multipart/form-data; boundary={BOUNDARY}; boundary={other}",
        f"multipart/form-data; boundary={other}; boundary={BOUNDARY}",
        f'multipart/form-data; x="boundary={other}"; boundary={BOUNDARY}',
        f"multipart/form-data; boundary*=utf-8''{other}; boundary={BOUNDARY}",
        f"multipart/form-data; boundary={BOUNDARY},{other}",
        f"multipart/form-data; boundary={BOUNDARY}; BOUNDARY={other}",
        f"multipart/form-data; boundary = {other}; boundary={BOUNDARY}",
        f'multipart/form-data; boundary="{BOUNDARY}"; charset=x; boundary={other}',
        f"multipart/form-data; boundary={other} ; boundary={BOUNDARY}",
        f"multipart/form-data; boundary={BOUNDARY}; x=boundary={other}",
        f"multipart/form-data; boundary*0={other[:4]}; boundary*1={other[4:]}; boundary={BOUNDARY}",
    )
    draft.set_header("Content-Type", rng.choice(types))
    return True


MUTATORS: Final[Mapping[str, Callable[[Draft, random.Random], bool]]] = {
    "head of a part": _head,
    "content of a part": _content,
    "delimiters": _delimiters,
    "charset field": _charset,
    "two boundaries": _two_boundaries,
}
