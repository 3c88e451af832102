"""Paths that reach the same handler: extensions, scripts, vanishing segments, letters, methods."""

from __future__ import annotations

import random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from collections.abc import Callable, Mapping
from typing import Final

from ..case import MINE, VICTIM
from ..draft import Draft
from ..names import for_form
from .names import ruled, value

_EXTENSIONS: Final = (
    *(
        ".json",
        ".JSON",
        ".html",
        ".xml",
        ".php",
        ".txt",
        ".js",
        ".jsp",
        ".do",
        ".action",
        ".csv",
        ".rss",
    ),
    *(
        "%2Ejson",
        ".json/",
        ".json;x",
        ".json?",
        ".",
        "..",
        ".json.json",
        "%2ejson",
        ".any",
        ".%6Ason",
    ),
)
_SCRIPTS: Final = (
    "index.php",
    "app.php",
    "index%2Ephp",
    "INDEX.PHP",
    "index.php5",
    "cgi-bin/x.cgi",
    "main.pl",
)
_BEHIND: Final = (
    "/",
    "//",
    "/x",
    "/.",
    "/%2e",
    "/..;/pay",
    ";",
    ";x=1",
    ";.json",
    "%20",
    "%00",
    "%0a",
    "%09",
)
_BEHIND_MORE: Final = (
    "?",
    "#x",
    "%3f",
    "%3Fx=1",
    "%23",
    "\\",
    "%5c",
    "/index.php",
    "%2f",
    "/;/",
    "&",
    "%",
    "*",
    "+",
)
_INSIDE: Final = (
    "//",
    "/./",
    "/x/../",
    "/;/",
    "/.;/",
    "/%2e/",
    "/x/..;/",
    "%2f",
    "\\",
    "/%2e%2e/x/",
    "/.%00/",
    ";a=b/",
)
_BEFORE: Final = (
    "/",
    "/.",
    "/x/..",
    "/public/..",
    "/public/..;",
    "http://clinic.example",
    "HTTP://other",
    "/;x",
    "/%2e",
)
_BEFORE_MORE: Final = (
    "/public/%2e%2e",
    "/public%2f..",
    "//clinic.example",
    "/./.",
    "/public;/..",
    "/api/..",
    "*",
)


def _extension(draft: Draft, rng: random.Random) -> bool:
    draft.path += rng.choice(_EXTENSIONS)
    return True


def _script(draft: Draft, rng: random.Random) -> bool:
    """A script before the path, or something behind a script in it."""
    name = rng.choice(_SCRIPTS)
    if ".php" in draft.path and rng.random() < 0.7:
        draft.path += rng.choice(
            ("/", "/x", "/x/y", "/index.php", "//", "/pay", "/.", "/x.png", "%2fx")
        )
    else:
        joint = rng.choice(("", "", "/", "/.", "/x/.."))
        draft.path = f"/{name}{joint}{draft.path}"
    return True


def _behind(draft: Draft, rng: random.Random) -> bool:
    draft.path += rng.choice(_BEHIND + _BEHIND_MORE)
    return True


def _inside(draft: Draft, rng: random.Random) -> bool:
    """Something in the place of a slash that some servers take for one."""
    slashes = [at for at, letter in enumerate(draft.path) if letter == "/"]
    if not slashes:
        return False
    at = rng.choice(slashes)
    draft.path = draft.path[:at] + rng.choice(_INSIDE) + draft.path[at + 1 :]
    return True


def _matrix(draft: Draft, rng: random.Random) -> bool:
    """A ruled name among the parameters of a segment, which Spring reads as matrix variables."""
    names = ruled(draft)
    if not names:
        return False
    name = rng.choice(names)
    ends = [at for at, letter in enumerate(draft.path) if letter == "/" and at]
    at = rng.choice([*ends, len(draft.path)])
    pair = f";{for_form(name, rng)}={value(draft, name, rng)}"
    draft.path = draft.path[:at] + pair + draft.path[at:]
    return True


def _before(draft: Draft, rng: random.Random) -> bool:
    draft.path = rng.choice(_BEFORE + _BEFORE_MORE) + draft.path
    return True


def _letters(draft: Draft, rng: random.Random) -> bool:
    """A letter in another case, encoded, encoded twice, or that reads as it."""
    letters = [at for at, letter in enumerate(draft.path) if letter.isalpha()]
    # A mark stays whole.
    inside = draft.path.find("<<")
    letters = [at for at in letters if inside < 0 or at < inside or at > draft.path.rfind(">>")]
    if not letters:
        return False
    at = rng.choice(letters)
    one = draft.path[at]
    ways = (
        one.swapcase(),
        f"%{ord(one):02x}",
        f"%{ord(one):02X}",
        f"%25{ord(one):02x}",
        f"%u{ord(one):04x}",
    )
    wide = "".join(f"%{byte:02X}" for byte in chr(ord(one) + 0xFEE0).encode())
    found = rng.choice((*ways, wide))
    draft.path = draft.path[:at] + found + draft.path[at + 1 :]
    return True


def _capture(draft: Draft, rng: random.Random) -> bool:
    """A conversation in the path with something around it."""
    if VICTIM not in draft.path:
        return False
    ways = (
        "{};x=1",
        "{}.json",
        "{}%20",
        "+{}",
        "%20{}",
        "{}%00",
        "{}%2f",
        "{}/" + MINE,
        MINE + "/../{}",
    )
    more = (
        "{}/.",
        "./{}",
        "{}%0a",
        "{};" + MINE,
        "{}.",
        MINE + "%2f..%2f{}",
        "{}?x",
        "{}%3b",
        "{}%c0%ae",
    )
    draft.path = draft.path.replace(VICTIM, rng.choice(ways + more).replace("{}", VICTIM))
    return True


_METHODS: Final = (
    "POST",
    "PUT",
    "PATCH",
    "GET",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "post",
    "Post",
    "PUT ",
    "LOCK",
    "put",
)
_OVERRIDES: Final = (
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "x-http-method-override",
    "X_HTTP_METHOD_OVERRIDE",
    "X-HTTP_Method-Override",
    "X.HTTP.Method.Override",
)


def _method(draft: Draft, rng: random.Random) -> bool:
    """Another method, with or without something that overrides it by the right one."""
    own = draft.method
    draft.method = rng.choice(_METHODS).strip()
    own = rng.choice((own, own, own.lower(), f" {own}", f"{own},GET"))
    where = rng.randrange(5)
    if where == 0:
        draft.query.append(f"_method={own.strip()}")
    elif where == 1 and draft.kind == "form":
        draft.members.append(("_method", own.strip()))
    elif where == 2 and draft.kind == "json":
        draft.members.append(('"_method"', f'"{own.strip()}"'))
    elif where < 4:
        draft.headers.append((rng.choice(_OVERRIDES), own))
    return True


MUTATORS: Final[Mapping[str, Callable[[Draft, random.Random], bool]]] = {
    "extension": _extension,
    "script": _script,
    "behind the path": _behind,
    "in the path": _inside,
    "matrix variable": _matrix,
    "before the path": _before,
    "letters of the path": _letters,
    "captured name": _capture,
    "method": _method,
}
