"""Backends that are searched: how each starts, the rules before it, and how a client searches it.

A few messages are written through Sealyard. The others are sealed by it before a service that
only adds them up, and put where the backend keeps its own: so it is not the speed at which a
backend writes that limits how many there are.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import Any, Final
from urllib.parse import quote, urlencode

import psycopg

from tests.pages.blocks import ROOT, blocks_in
from tests.servers import free_port

from .compared import NODE, NODE_FOLDER, files_of
from .conftest import KINTO, Client, kinto, running
from .flows import DJANGO, POSTGRESQL, django
from .postgres import postgresql
from .search_backend import Postgresql, Sqlite, Store, served
from .test_pocketbase import FIELDS, MESSAGES, PROGRAM, RECORDS, pocketbase

PAGE: Final = ROOT / "docs/how-to/search-before-backends.md"
ROOM: Final = "r1"
ROWS: Final = 100
Asked = Callable[..., Any]
"""Asks by a method, a target and maybe JSON; returns the JSON of the answer."""
Put = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Running:
    """A backend that runs: its port, and what it keeps, by the place.

    `put` stores values of the room that were sealed before. `headers` let a client in.
    """

    port: int
    kept: Callable[[], Mapping[str, bytes]]
    put: Put
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Searched:
    """A backend, and what is written to search it.

    `field` is the one that is searched, `bind` what its values are bound to, `heading` is that of
    its rules and commands on the page. `write` is the request that sends a text; `pages` asks for
    words, and yields the texts of each page.
    """

    start: Callable[[Path], AbstractContextManager[Running]]
    field: str
    heading: str
    write: Callable[[str], tuple[str, str, object]]
    pages: Callable[[Asked, str], Iterator[list[str]]]
    needs: Path
    bind: str = "[tenant, conversation, field]"

    def shown(self, language: str) -> str:
        """Return what the page shows under the heading, in a language."""
        text = PAGE.read_text("utf-8").partition(f"\n## {self.heading}")[2].partition("\n## ")[0]
        (one,) = (one.text for one in blocks_in(text, self.heading) if one.language == language)
        return one


def configuration(one: Searched) -> str:
    """Return the configuration before a backend; its second listener seals for `Running.put`."""
    fields, _, rules = one.shown("yaml").partition("rules:\n")
    (head,) = blocks_in(PAGE.read_text("utf-8").partition("\n## ")[0], "")[:1]
    text = head.text.replace("fields: {}\n", fields).replace("rules: []\n", f"rules:\n{rules}")
    text = text.replace(":8080\n", ":PORT\n").replace(":3000\n", ":UPSTREAM\n")
    return (
        text.replace(f"rules:\n{rules}", f"rules:\n{indent(rules, '    ')}")
        + f"""\
  - name: collector
    listen: 127.0.0.1:SECOND
    upstream: http://127.0.0.1:COLLECTOR
    unmatched: reject
    defaults: {{tenant: const:clinic, bind: {one.bind}}}
    rules:
      - name: send
        match: POST /rooms/{{room}}/messages
        conversation: {{from: path:room, unrelated: ['$.messages.*.id']}}
        request:
          plain: ['$.messages.*.id']
          encrypt: [{{select: '$.messages.*.content', field: {one.field}, index: behind}}]
"""
    )


@contextmanager
def _sqlite(folder: Path) -> Iterator[Running]:
    with closing(Sqlite(folder / "db.sqlite3")) as store, _service(store) as (port, put):
        yield Running(port, lambda: files_of(folder), put)


@contextmanager
def _postgresql(folder: Path, *, trigrams: bool = False) -> Iterator[Running]:
    with (
        postgresql(folder) as database,
        closing(Postgresql(database.uri, trigrams=trigrams)) as store,
        _service(store) as (port, put),
    ):
        yield Running(port, lambda: files_of(folder, database.files), put)


@contextmanager
def _service(store: Store) -> Iterator[tuple[int, Put]]:
    def put(sealed: Sequence[str]) -> None:
        store.add(ROOM, list(enumerate(sealed, 1_000)))

    with served(store) as (port, _):
        yield port, put


@contextmanager
def _kinto(folder: Path) -> Iterator[Running]:
    plugin = f"{__package__}.kinto_records"
    with kinto(folder, plugin=plugin, page=10 * ROWS) as process:
        client = Client(process.port)
        for path in ("/v1/buckets/clinic", _KINTO.removesuffix("/records")):
            assert client.ask("PUT", path).status == 201

        def put(sealed: Sequence[str]) -> None:
            for at in range(0, len(sealed), ROWS):
                told = client.ask("POST", f"/v1/kept/{ROOM}", sealed[at : at + ROWS])
                assert told.status == 200, told.body

        def kept() -> Mapping[str, bytes]:
            return {"Kinto's memory": process.memory(), **files_of(folder)}

        yield Running(process.port, kept, put, {"Authorization": client.authorization})


@contextmanager
def _django(folder: Path) -> Iterator[Running]:
    with django(folder) as one:

        def put(sealed: Sequence[str]) -> None:
            _insert(
                folder / "db.sqlite3",
                "INSERT INTO message (room, text, scan) VALUES (?, ?, '')",
                [(ROOM, text) for text in sealed],
            )

        yield Running(one.port, one.kept, put, one.headers)


@contextmanager
def _pocketbase(folder: Path) -> Iterator[Running]:
    found = "@request.query.q = '' || body ~ @request.query.q"
    long = {"name": "body", "type": "text", "max": 50_000}
    fields = [long if one["name"] == "body" else one for one in FIELDS]
    listed = {"listRule": f"({MESSAGES['listRule']}) && ({found})", "fields": fields}
    with pocketbase(folder, MESSAGES | listed) as process:

        def put(sealed: Sequence[str]) -> None:
            _insert(
                folder / "pb_data" / "data.db",
                "INSERT INTO messages (id, room, body, note, meta, scan, created)"
                " VALUES (?, ?, ?, '', 'null', '', '2026-01-01 00:00:00.000Z')",
                [(secrets.token_hex(8)[:15], ROOM, text) for text in sealed],
            )

        yield Running(process.port, lambda: files_of(folder), put)


def _insert(file: Path, statement: str, rows: Sequence[tuple[str, ...]]) -> None:
    with closing(sqlite3.connect(file, timeout=60.0)) as database, database:
        database.executemany(statement, rows)


@contextmanager
def _with_postgresql(folder: Path, script: str, statement: str) -> Iterator[Running]:
    port = free_port()
    with postgresql(folder) as database:
        command = [NODE, str(NODE_FOLDER / script), str(port), database.uri]

        def put(sealed: Sequence[str]) -> None:
            parts = [one.partition("~") for one in sealed]
            rows = [
                {"text": "".join(one), "token": one[0], "tags": "".join(one[1:]), "room": ROOM}
                for one in parts
            ]
            rows = [{**one, "id": secrets.token_hex(5)} for one in rows]
            with psycopg.connect(database.uri) as connection, connection.cursor() as cursor:
                cursor.executemany(statement, rows)

        with running(command, port, folder / f"{script}.log"):
            yield Running(port, lambda: files_of(folder, database.files), put)


@contextmanager
def _parse(folder: Path) -> Iterator[Running]:
    statement = (
        'INSERT INTO "Message" ("objectId", "createdAt", "updatedAt", room, content,'
        ' "contentIndex", _rperm, _wperm)'
        " VALUES (%(id)s, now(), now(), %(room)s, %(token)s, %(tags)s, '{*}', '{*}')"
    )
    with _with_postgresql(folder, "parse_server.mjs", statement) as one:
        headers = {"X-Parse-Application-Id": "clinic"}
        account = {"username": "ada", "password": "password-of-ada"}
        signed = Client(one.port).ask("POST", "/parse/users", account, headers=headers)
        headers["X-Parse-Session-Token"] = signed.json["sessionToken"]
        yield Running(one.port, one.kept, one.put, headers)


def _linked(
    target: str, items: str, text: str, following: Callable[[Any], str | None]
) -> Callable[[Asked, str], Iterator[list[str]]]:
    """Return what follows the links to other pages, from a target with WORDS in it."""

    def pages(ask: Asked, words: str) -> Iterator[list[str]]:
        at: str | None = target.replace("WORDS", quote(words))
        while at is not None:
            answer = ask("GET", at)
            yield [one[text] for one in answer[items]]
            at = following(answer)

    return pages


def _after_host(link: str | None) -> str | None:
    return link and "/" + link.split("/", 3)[3]


def _pocketbase_pages(ask: Asked, words: str) -> Iterator[list[str]]:
    at, last = 1, 1
    while at <= last:
        query = {"room": ROOM, "q": words, "page": at, "perPage": ROWS, "sort": "id"}
        told = ask("GET", f"{RECORDS}?{urlencode(query)}")
        yield [one["body"] for one in told["items"]]
        at, last = at + 1, told["totalPages"]


def _parse_pages(ask: Asked, words: str) -> Iterator[list[str]]:
    query = {"where": json.dumps({"room": ROOM, "contentIndex": {"$regex": words}}), "limit": 0}
    count = ask("GET", f"{_PARSE}?{urlencode(query | {'count': 1})}")["count"]
    for at in range(0, count, ROWS):
        page = query | {"limit": ROWS, "skip": at, "order": "objectId"}
        found = ask("GET", f"{_PARSE}?{urlencode(page)}")["results"]
        yield [one["content"] for one in found]


def _apollo_pages(ask: Asked, words: str) -> Iterator[list[str]]:
    at, total, most = 0, 1, 10 * ROWS
    while at < total:
        page = f'room: "r1", first: {most}, skip: {at}, words: %s'
        found = f"{{messages({page}) {{room total messages {{id text}}}}}}"
        by_variable = {"query": f"query ($words: String) {found % '$words'}"}
        bodies: list[dict[str, object]] = [
            {**by_variable, "variables": {"words": words}},
            {"query": f"query {found % json.dumps(words)}"},
            {"query": f"query ($words: String = {json.dumps(words)}) {found % '$words'}"},
        ]
        each = [ask("POST", "/graphql", one)["data"]["messages"] for one in bodies]
        assert each[0] == each[1] == each[2]
        yield [one["text"] for one in each[0]["messages"]]
        at, total = at + most, each[0]["total"]


_KINTO: Final = f"/v1/buckets/clinic/collections/{ROOM}/records"
_PARSE: Final = "/parse/classes/Message"
_numbers = iter(range(2, 1_000))  # the page has the first
_A_SERVICE: Final = partial(
    Searched,
    field="content",
    heading="A service on PostgreSQL or SQLite",
    write=lambda text: (
        "POST",
        f"/rooms/{ROOM}/messages",
        {"messages": [{"id": next(_numbers), "content": text}]},
    ),
    pages=_linked(
        f"/rooms/{ROOM}/messages?q=WORDS&limit={ROWS}", "data", "content", lambda page: page["next"]
    ),
)

SEARCHED: Final[Mapping[str, Searched]] = {
    "sqlite": _A_SERVICE(_sqlite, needs=Path("/")),
    "postgresql": _A_SERVICE(_postgresql, needs=POSTGRESQL),
    "trigrams": _A_SERVICE(partial(_postgresql, trigrams=True), needs=POSTGRESQL),
    "kinto": Searched(
        _kinto,
        field="content",
        heading="Kinto",
        write=lambda text: ("POST", _KINTO, {"data": {"content": text}}),
        pages=_linked(
            f"{_KINTO}?like_content=WORDS&_limit={10 * ROWS}",
            "data",
            "content",
            lambda page: _after_host(page["header"]("Next-Page")),
        ),
        needs=KINTO,
    ),
    "django": Searched(
        _django,
        field="text",
        heading="Django REST framework",
        write=lambda text: ("POST", "/api/messages/", {"room": ROOM, "text": text}),
        pages=_linked(
            f"/api/messages/?room={ROOM}&search=WORDS&page_size={ROWS}",
            "results",
            "text",
            lambda page: _after_host(page["next"]),
        ),
        needs=DJANGO,
    ),
    "pocketbase": Searched(
        _pocketbase,
        field="body",
        heading="PocketBase",
        write=lambda text: ("POST", RECORDS, {"room": ROOM, "body": text}),
        pages=_pocketbase_pages,
        needs=PROGRAM,
    ),
    "parse": Searched(
        _parse,
        field="content",
        heading="Parse Server",
        bind="[tenant, field]",
        write=lambda text: ("POST", _PARSE, {"room": ROOM, "content": text}),
        pages=_parse_pages,
        needs=POSTGRESQL,
    ),
    "apollo": Searched(
        partial(
            _with_postgresql,
            script="apollo_server.mjs",
            statement="INSERT INTO messages (room, text) VALUES (%(room)s, %(text)s)",
        ),
        field="text",
        heading="GraphQL (Apollo Server)",
        write=lambda text: (
            "POST",
            "/graphql",
            {
                "query": 'mutation ($text: String!) {createMessage(room: "r1", text: $text)'
                " {room message {id text}}}",
                "variables": {"text": text},
            },
        ),
        pages=_apollo_pages,
        needs=POSTGRESQL,
    ),
}
