"""What runs of acceptance found at each backend, and the table of it in the documentation.

`./dev acceptance --record` writes `records`; `./dev docs` the table (`python -m
tests.acceptance.records`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = Path(__file__).parent / "records"
PAGE: Final = ROOT / "docs" / "how-to" / "backends" / "README.md"
BEGIN: Final = "<!-- backends: made by `./dev docs` -->\n"
END: Final = "<!-- end of the backends -->"


class Entry(NamedTuple):
    """What the table says of a backend besides its record: its page, and what is not sealed.

    `example` is the name of its configuration where it is not that of the backend.
    """

    page: str
    not_sealed: str
    example: str = ""


BACKENDS: Final = {
    "apollo": Entry(
        "frameworks.md",
        "ids and rooms, documents, names of files: resolvers select, sort and make paths by them",
    ),
    "directus": Entry(
        "directus.md",
        "ids, rooms, titles and names of files: it selects by them; accounts, permissions",
    ),
    "django": Entry(
        "frameworks.md",
        "ids, rooms, names of files: views select, sort and make paths by them; accounts",
    ),
    "fastapi": Entry(
        "clients.md",
        "ids, conversations, priorities, types of files: the application works by them",
        "clinic",
    ),
    "feathers": Entry(
        "frameworks.md",
        "ids and rooms: queries and channels select by them; names of services and events",
    ),
    "graphql": Entry(
        "graphql.md",
        "documents, names of operations, arguments that no block selects: the server executes them",
        "graphql-operations",
    ),
    "isso": Entry(
        "isso.md",
        "names, addresses and websites of authors: Isso makes hashes of them and writes mails;"
        " times; who replies to whom",
    ),
    "json-server": Entry("frameworks.md", "ids, rooms, authors: it filters and sorts by them"),
    "kinto": Entry(
        "kinto.md",
        "ids, times, other members: Kinto selects and sorts by them; other collections",
    ),
    "matrix": Entry(
        "matrix.md",
        "rooms, users, memberships, kinds of events, relations: Synapse decides by them; profiles;"
        " other kinds of events are refused",
    ),
    "ntfy": Entry(
        "ntfy.md",
        "topics, priorities, tags, links, actions: ntfy and its apps act by them; attachments are"
        " refused",
    ),
    "openai": Entry(
        "llm-gateways.md",
        "model, roles, parameters, usage: the gateway works by them",
        "llm-egress",
    ),
    "parse": Entry(
        "parse-server.md",
        "users, rooms, ACLs: Parse Server decides and selects by them; files are refused",
    ),
    "pocketbase": Entry(
        "pocketbase.md",
        "users and rooms: its rules decide by them; names of files, which it changes",
    ),
    "pouchdb": Entry(
        "pouchdb.md",
        "ids, revisions, rooms, names and types of attachments: replication works by them",
    ),
    "wordpress": Entry(
        "wordpress.md",
        "posts, authors, parents and states of comments: WordPress selects and moderates by them",
    ),
    "socketio": Entry(
        "socketio.md",
        "names of events, conversations, members under `plain`: the server works by them",
        "socketio-files",
    ),
}


@dataclass(frozen=True)
class Record:
    """The outcome of one client at one backend.

    `software` are the versions of both. `passed_with` are checks that told the client the same with
    Sealyard as without. `places` are the files that were searched; `plaintext_*` says in how many
    of them a text of the client was found.
    """

    backend: str
    software: str
    checks: int
    passed_without: int
    passed_with: int
    places: int
    plaintext_without: int
    plaintext_with: int

    def write(self) -> None:
        """Write it, in place of the one of an earlier run."""
        FOLDER.mkdir(exist_ok=True)
        text = json.dumps(asdict(self), indent=2) + "\n"
        (FOLDER / f"{self.backend}.json").write_text(text, encoding="utf-8")


def records() -> list[Record]:
    """Return the record of each backend of the table."""
    texts = (FOLDER / f"{name}.json" for name in BACKENDS)
    return [Record(**json.loads(one.read_text("utf-8"))) for one in texts]


def table() -> str:
    """Return the table of what the records say."""
    columns = (
        *("backend and client", "checks", "pass without Sealyard", "pass with it"),
        *("files searched", "with plaintext, without Sealyard", "with it", "not sealed, and why"),
    )
    lines = [f"| {' | '.join(columns)} |", "| --- |" + " ---: |" * 6 + " --- |"]
    for one in records():
        page, not_sealed, _ = BACKENDS[one.backend]
        numbers = (one.checks, one.passed_without, one.passed_with, one.places)
        found = (one.plaintext_without, one.plaintext_with)
        cells = (f"[{one.software}]({page})", *map(str, numbers + found), not_sealed)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    """Return the page with the table as it is now; raise ValueError where it has no place."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        message = f"{PAGE.name} has no table between its two marks"
        raise ValueError(message)
    return before + begin + table() + end + after


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), encoding="utf-8")
