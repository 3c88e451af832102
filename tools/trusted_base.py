"""`python -m tools.trusted_base`: write the table of rooms into docs/explanation/review.md.

Each package of the product has one row: its lines, what it has in its hands, and whether it reads
bytes that an attacker chose. A package that the table does not know is an error, so that a new one
is judged when it is made.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final, NamedTuple

from tools.size import ROOT, lines, tracked

PAGE: Final = ROOT / "docs" / "explanation" / "review.md"
BEGIN: Final = "<!-- rooms: made by `./dev docs` -->\n"
END: Final = "<!-- end of the rooms -->\n"


class Room(NamedTuple):
    """What a package has in its hands: `keys`, `plaintext`, and `bytes` that attackers choose."""

    place: str
    holds: str
    attacker: str


ROOMS: Final = (
    Room("core/crypto", "keys, plaintext", "tokens, packages, streams"),
    Room("keys", "keys", "the keyring's file, records of the store, answers of key services"),
    Room("core/formats", "plaintext", "bodies of clients and of the backend"),
    Room("core/leaves", "plaintext", "as formats; the Python form of the native leaves"),
    Room("native", "plaintext", "as formats; no key, and no random number"),
    Room("core/http", "plaintext", "heads"),
    Room("core", "plaintext", "names, places, conditions; the engine for values"),
    Room("traffic", "plaintext", "connections: heads, framing, WebSockets, credentials of callers"),
    Room("admin", "keys by name, values of `/v1/open`", "requests of operators"),
    Room("wiring", "references to all of it", "nothing by itself"),
    Room("config", "references to secrets", "files of operators"),
    Room("telemetry", "names and counts, no value", "nothing by itself"),
    Room("process", "nothing", "the environment of the process"),
    Room("explaining", "values of an operator's example", "a given example"),
    Room("description", "nothing", "OpenAPI descriptions of operators"),
    Room("migration", "keys, plaintext", "rows of the database"),
    Room("injector", "no key of messages", "AdmissionReviews of the API server"),
    Room("cli", "as the command", "arguments, files of operators"),
    Room("demo", "keys and values of its own", "nothing"),
)


def table() -> str:
    """Return the table; raise SystemExit where a package has no row."""
    files = [*tracked("proxy/*.py"), *tracked("native/src/*.rs")]
    left = {one: one.relative_to(ROOT).as_posix().removeprefix("proxy/") for one in files}
    rows = ["| room | files | lines | in its hands | reads what others chose |"]
    rows.append("|---|--:|--:|---|---|")
    counted = {}
    for room in sorted(ROOMS, key=lambda one: one.place.count("/"), reverse=True):
        mine = [one for one, place in left.items() if place.startswith(f"{room.place}/")]
        counted[room] = (len(mine), lines(mine))
        for one in mine:
            del left[one]
    if unknown := sorted({place for place in left.values() if "/" in place}):
        sys.exit(f"trusted_base: no row for {unknown[0]}")
    for room in ROOMS:
        number, size = counted[room]
        rows.append(f"| `{room.place}` | {number} | {size:,} | {room.holds} | {room.attacker} |")
    return "\n".join(rows) + "\n"


def written(page: str) -> str:
    """Return the page with the table of today."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def current(page: Path = PAGE) -> bool:
    """Return whether the page has the table of today."""
    text = page.read_text("utf-8")
    return text == written(text)


def main(page: Path = PAGE) -> None:
    """Write the table into the page."""
    page.write_text(written(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
