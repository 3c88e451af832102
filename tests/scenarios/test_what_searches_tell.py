"""What the answers to searches tell beside what they find: no more than the rules say."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import pytest

from tests.scenarios.pool import POOL, Place
from tests.scenarios.rig import Served, write_keys
from tests.servers import module
from tests.traffic.callers.issuers import AUDIENCE, EVERY, ISSUER, claims, public, signed

CANARY: Final = "canarypelargonium"
WORDS: Final = f"{CANARY} allergy"
"""The backend is sent the tag of the longer one: what lacks the other is dropped."""
FOUND: Final = f"Allergy: {WORDS}!"
DROPPED: Final = f"{CANARY} elsewhere"
LIMIT: Final = 2
JWT: Final = (
    f"issuer: {ISSUER}, audience: {AUDIENCE}, jwks: {{file: jwks.json}}, algorithms: [ES256]"
)
GETS: Final = {
    "doctor": "value", "mail": "{mask: mail}", "clerk": "token", "billing": "absent",
    "guard": "refuse",
}  # fmt: skip
CONFIGURATION: Final = """\
version: 1
keys:
  keyring: {file: keyring.jwe, key: {file: root.key}}
admin: {listen: "127.0.0.1:ADMIN", token: {file: admin.token}}
health: {listen: "127.0.0.1:HEALTH"}
masks: {mail: email}
fields:
  content: {index: {words: {}}}
listeners:
  - name: api
    listen: 127.0.0.1:PORT
    upstream: http://127.0.0.1:UPSTREAM
    unmatched: reject
    defaults: {tenant: "const:clinic", bind: [tenant, conversation, field]}
CALLERS    rules:
      - name: send
        match: POST /send/{room}/messages
        conversation: {from: path:room, unrelated: [$.id]}
        request:
          plain: [$.id, $.broken]
          encrypt: [{select: $.content, index: behind}, $.note]
"""
SEARCH: Final = """\
      - name: KIND
        match: GET /KIND/{room}/messages
        conversation: path:room
        query: {limit: plain, after: plain}
        request: {search: [{select: 'query:q', field: content, match: words}]}
        response:
          on_error: keep
          decrypt:
            - {select: '$.data.*.content'GETS}
            - '$.data.*.note'
          keep: {items: $.data, matching: qTOTAL}
"""
KINDS: Final = {"named": ", total: [$.total, $.page.found]", "unnamed": ""}
REFUSED: Final = {
    "": "search-too-broad",
    "a b c d e f g h i": "search-too-broad",
    f"{CANARY}*": "search-not-supported",
    f'"{WORDS}"': "search-not-supported",
    f"-{CANARY}": "search-not-supported",
    f"content:{CANARY}": "search-not-supported",
    f"{CANARY} OR allergy": "search-not-supported",
    "你好": "search-not-supported",
}


def configuration(upstream: int, place: Place, *, callers: bool) -> str:
    lines, gets = "", ""
    if callers:
        each = [
            f"      - {{name: {one}, jwt: {{{JWT}, claims: {{roles: {one}}}}}}}" for one in GETS
        ]
        lines = "\n".join(["    callers:", *each, ""])
        gets = f", for: {{{', '.join(f'{name}: {shown}' for name, shown in GETS.items())}}}"
    text = CONFIGURATION.replace("CALLERS", lines)
    for kind, total in KINDS.items():
        text += SEARCH.replace("KIND", kind).replace("GETS", gets).replace("TOTAL", total)
    ports = {"PORT": place.port, "ADMIN": place.admin, "HEALTH": place.health, "UPSTREAM": upstream}
    for name, port in ports.items():
        text = text.replace(f":{name}", f":{port}")
    return text


class Client:
    """A client of the sidecar, and one that asks the backend itself."""

    def __init__(self, ours: Served, upstream: int, session: aiohttp.ClientSession) -> None:
        self.ours = ours
        self._direct = f"http://127.0.0.1:{upstream}"
        self._session = session
        self._credentials = {
            name: {"Authorization": f"Bearer {signed(claims(roles=[name]))}"} for name in GETS
        }

    async def ask(
        self,
        target: str,
        caller: str = "doctor",
        *,
        method: str = "GET",
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers but those that differ for each answer, and the body."""
        async with self._session.request(
            method,
            f"http://127.0.0.1:{self.ours.port}{target}",
            json=body,
            headers={**self._credentials[caller], **(headers or {})},
        ) as answer:
            told = {name: one for name, one in answer.headers.items() if name not in _ITS_OWN}
            assert all(len(answer.headers.getall(name)) == 1 for name in answer.headers)
            body = re.sub(rb'"instance":"[0-9a-f-]+"', b"", await answer.read())
            return answer.status, told, body

    async def seen(self) -> dict[str, Any]:
        """Return what the backend keeps, and what it was asked."""
        async with self._session.get(f"{self._direct}/seen") as answer:
            return dict(await answer.json())

    async def store(self, room: str, *messages: Mapping[str, object]) -> None:
        """Store rows as they are."""
        for one in messages:
            url = f"{self._direct}/send/{room}/messages"
            async with self._session.post(url, json=one) as answer:
                assert answer.status == 200

    async def send(self, room: str, *messages: Mapping[str, object]) -> None:
        """Store rows through Sealyard."""
        for one in messages:
            status, _, body = await self.ask(f"/send/{room}/messages", method="POST", body=one)
            assert status == 200, body

    async def fill(self, room: str, patterns: Iterable[str]) -> None:
        """Store a room of rows for each pattern, which its name ends with."""
        for pattern in patterns:
            rows = (row(at, one) for at, one in enumerate(pattern, 1))
            await self.send(room + pattern, *rows)


_ITS_OWN: Final = frozenset({"Date", "Server"})


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with module("tests.scenarios.searched_backend") as port:
        yield port


@asynccontextmanager
async def searching(folder: Path, upstream: int, *, callers: bool) -> AsyncIterator[Client]:
    """Give clients of a sidecar; look for canaries in all that the sidecar and the backend keep."""
    write_keys(folder, indexed=True)
    (folder / "jwks.json").write_text(json.dumps({"keys": [public(alg) for alg in EVERY]}))

    def text(place: Place) -> str:
        return configuration(upstream, place, callers=callers)

    async with (
        POOL.taken(folder, "searching", text) as ours,
        aiohttp.ClientSession() as session,
    ):
        client = Client(ours, upstream, session)
        yield client
        kept, metrics = json.dumps(await client.seen()), await ours.metrics()
    for place in (kept, metrics, ours.log.read_text()):
        assert CANARY not in place.lower()
        assert "allergy" not in place.lower()
    assert "~" not in metrics + ours.log.read_text()


def row(at: int, kind: str) -> dict[str, object]:
    """Return a message to send, by its kind."""
    made: dict[str, object] = {"id": at, "content": DROPPED if kind in "du" else FOUND}
    made["note"] = f"note {at}"
    return made | {"u": {"broken": "content"}, "k": {"broken": "note"}}.get(kind, {})


PATTERNS: Final = [
    *("".join(one) for size in range(3) for one in product("hdu", repeat=size)),
    *("hhh", "hhd", "hdh", "dhh", "hdd", "ddd", "ddh", "uud", "huh", "kd", "uk", "kkd", "dku"),
]
"""What the backend finds: a hit, a message that lacks a word, one that does not open, and a hit
whose note does not."""


def expected(
    pattern: str, path: str, rows: list[dict[str, Any]], after: int
) -> tuple[dict[str, str], bytes, str | None]:
    """Return headers and body of a page behind a message, and where the next one is."""
    page = range(after + 1, len(pattern) + 1)[:LIMIT]
    stay = [at for at in page if pattern[at - 1] in "hk"]
    total = len(pattern) if "/unnamed/" in path or len(stay) == len(page) else None
    link = None
    if len(page) == LIMIT:
        link = f"{path}?q={quote(WORDS)}&limit={LIMIT}&after={page[-1]}"
    data = [{"id": at, "content": FOUND, "note": f"note {at}"} for at in stay]
    kept = [one for one, at in zip(data, stay, strict=True) if pattern[at - 1] == "k"]
    for one in kept:
        one["note"] = rows[int(str(one["id"])) - 1]["note"]
    body = json.dumps({"data": data, "total": total, "page": {"found": total}, "next": link})
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cache-Control": "private, no-store",
        "Accept-Ranges": "none",
        "X-Total-Count": str(len(pattern)),  # not named: an upper bound
    }
    headers |= {"Sealyard-Kept": str(len(kept))} if kept else {}
    headers |= {"Link": f'<{link}>; rel="next"'} if link else {}
    return headers, body.encode(), link


@pytest.mark.parametrize("callers", [False, True])
async def test_a_page_tells_what_it_has_and_nothing_of_what_was_dropped(
    tmp_path: Path, upstream: int, *, callers: bool
) -> None:
    async with searching(tmp_path, upstream, callers=callers) as client:
        room = f"{tmp_path.name}-"
        await client.fill(room, PATTERNS)
        rows = (await client.seen())["rooms"]
        for pattern, kind in product(PATTERNS, KINDS):
            path = f"/{kind}/{room}{pattern}/messages"
            target: str | None = f"{path}?q={quote(WORDS)}&limit={LIMIT}"
            after = 0
            while target is not None:
                told = await client.ask(target)
                of = rows.get(room + pattern, [])
                headers, body, target = expected(pattern, path, of, after)
                headers |= {"Vary": "Authorization"} if callers else {}
                assert told == (200, headers, body), (pattern, kind, after)
                after += LIMIT


@pytest.mark.parametrize("callers", [False, True])
async def test_no_condition_or_head_tells_whether_the_backend_has_found_something_else(
    tmp_path: Path, upstream: int, *, callers: bool
) -> None:
    async with searching(tmp_path, upstream, callers=callers) as client:
        room = f"{tmp_path.name}-"
        await client.fill(room, ("h", "hd", "hdd"))
        asked = len((await client.seen())["asked"])
        told = []
        for method, pattern in product(("GET", "HEAD"), ("hd", "hdd")):
            target = f"/named/{room}{pattern}/messages?q={quote(WORDS)}&limit=9"
            entity = 'W/"3c-323ac2030ce418423af0c5ad54d"'
            conditions = {"If-None-Match": entity, "If-Modified-Since": "now", "Range": "bytes=0-1"}
            status, headers, body = await client.ask(target, method=method, headers=conditions)
            assert (status, headers.pop("X-Total-Count")) == (200, str(len(pattern)))
            told.append((method, headers, body))
        assert told[0] == told[1]
        assert told[2] == told[3]
        assert "Content-Length" not in told[2][1]
        for one in (await client.seen())["asked"][asked:]:
            assert not {"if-none-match", "if-modified-since", "range"} & {
                line.partition(":")[0].lower() for line in one.splitlines()
            }


async def test_who_does_not_get_the_values_learns_nothing_by_a_search(
    tmp_path: Path, upstream: int
) -> None:
    async with searching(tmp_path, upstream, callers=True) as client:
        room = f"{tmp_path.name}-"
        await client.fill(room, ("h", "dd"))
        asked = len((await client.seen())["asked"])
        for caller, kind in product(GETS, KINDS):
            told = [
                await client.ask(f"/{kind}/{room}{one}/messages?q={quote(WORDS)}&limit=9", caller)
                for one in ("", "h", "dd")
            ]
            if caller == "doctor":
                assert {status for status, _, _ in told} == {200}
                asked += len(told)
                continue
            assert told[0] == told[1] == told[2]
            code = "caller-may-not-open" if caller == "guard" else "caller-may-not-search"
            assert (told[0][0], told[0][1]["Sealyard-Error"]) == (403, code)
        assert len((await client.seen())["asked"]) == asked


async def test_a_search_that_is_refused_tells_nothing_of_what_is_stored(
    tmp_path: Path, upstream: int
) -> None:
    async with searching(tmp_path, upstream, callers=False) as client:
        room = f"{tmp_path.name}-"
        await client.send(room + "h", row(1, "h"))
        asked = (await client.seen())["asked"]
        targets = [(f"q={quote(words)}", 400, code) for words, code in REFUSED.items()]
        targets += [
            ("q=one&q=two", 400, "invalid-body"),
            ("Q=one", 400, "unlisted-name"),
            ("q%5B%5D=one", 400, "unlisted-name"),
            (f"q={CANARY}&total=1", 400, "unlisted-name"),
        ]
        for query, status, code in targets:
            told = [
                await client.ask(f"/named/{room}{one}/messages?{query}&limit=9")
                for one in ("", "h")
            ]
            assert told[0] == told[1]
            assert (told[0][0], told[0][1]["Sealyard-Error"]) == (status, code), query
        for target in ("/metrics", "/v1/status", "/-/reload", "/readyz"):
            status, _, body = await client.ask(target)
            assert status in {403, 404}, target
            assert b"searched" not in body
        assert (await client.seen())["asked"] == asked
