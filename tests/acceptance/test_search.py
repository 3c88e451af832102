"""Searches in sealed messages, in databases that know nothing of them.

All that is found, and nothing else, over SEARCHED_MESSAGES messages (100,000 in the nightly run).
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random  # noqa: TID251 - the same texts in every run
from urllib.parse import quote

import pytest

from tests.migration.servers import needs_postgresql, postgresql
from tests.servers import PATIENCE_SECONDS, free_port

from .conftest import KINTO, PASSPHRASE, ROOT, Client, Process, kinto, running
from .search_backend import Postgresql, Sqlite, Store, served

pytestmark = pytest.mark.acceptance

MESSAGES = int(os.environ.get("SEARCHED_MESSAGES", "5000"))
BATCH = 500
QUERIES = 150
CONFIG = """\
version: 1
keys: {keyring: {file: keyring.jwe, passphrase: {env: SEALYARD_PASSPHRASE}}}
fields: {content: {index: {words: {skip: [common-en]}}}}
listeners:
  - name: api
    listen: 127.0.0.1:PORT
    upstream: http://127.0.0.1:UPSTREAM
    unmatched: reject
    defaults: {tenant: const:clinic}
    rules:
      - name: send
        match: POST /rooms/{room}/messages
        conversation: {from: path:room, unrelated: ['$.messages.*.id']}
        request:
          plain: ['$.messages.*.id']
          encrypt: [{select: '$.messages.*.content', index: behind}]
      - name: search
        match: GET /rooms/{room}/messages
        conversation: path:room
        query: {after: plain, limit: plain}
        request: {search: [{select: 'query:q', field: content, match: words}]}
        response:
          decrypt: '$.data.*.content'
          keep: {items: $.data, matching: q, total: $.total}
"""


RECORDS = "/v1/buckets/clinic/collections/messages/records"
KINTO_CONFIG = (
    CONFIG.partition("    unmatched:")[0]
    + """\
    unmatched: pass
    defaults: {tenant: const:clinic, conversation: const:messages}
    rules:
      - name: send
        match: POST RECORDS
        request: {encrypt: [{select: $.data.content, index: behind}], plain: [$.data.id]}
        response: {decrypt: $.data.content}
      - name: search
        match: GET RECORDS
        query: {_limit: plain, _token: plain, _sort: plain}
        request: {search: [{select: 'query:like_content', field: content, match: words}]}
        response:
          decrypt: '$.data.*.content'
          keep: {items: $.data, matching: like_content}
"""
).replace("RECORDS", RECORDS)


@contextmanager
def sidecar(folder: Path, upstream: int, config: str = CONFIG) -> Iterator[Process]:
    port = free_port()
    configuration = folder / "sealyard.yaml"
    configuration.write_text(config.replace("PORT", str(port)).replace("UPSTREAM", str(upstream)))
    command = [sys.executable, "-P", "-m", "proxy"]
    environment = {"SEALYARD_PASSPHRASE": PASSPHRASE, "PYTHONPATH": str(ROOT)}
    for verb in (["keys", "init"], ["keys", "rotate-index"]):
        subprocess.run(
            [*command, *verb, "--config", str(configuration)],
            env={**os.environ, **environment},
            cwd=folder,
            check=True,
            capture_output=True,
        )
    serve = [*command, "serve", "--config", str(configuration)]
    with running(serve, port, folder / "sealyard.log", **environment) as process:
        yield process


class Reader:
    """A client on one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, target: str, body: object = None) -> tuple[int, object]:
        text = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request(method, target, text, headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def find(self, room: str, words: str) -> list[int]:
        """Return the ids of what is found, over all pages."""
        found: list[int] = []
        target: str | None = f"/rooms/{room}/messages?q={quote(words)}&limit=100"
        while target is not None:
            status, page = self.ask("GET", target)
            assert status == 200, page
            assert isinstance(page, dict)
            found += [one["id"] for one in page["data"]]
            target = page["next"]
        return found


def a_vocabulary(random: Random) -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(random.choices(letters, k=random.randint(3, 11))) for _ in range(6000)]


def texts() -> tuple[list[str], list[str]]:
    """Return messages in which words are as common as in a language (Zipf), and the words."""
    random = Random(11)  # noqa: S311 - no secret
    vocabulary = a_vocabulary(random)
    weights = [1 / (rank + 3) for rank in range(len(vocabulary))]
    made = []
    for _ in range(MESSAGES):
        words = random.choices(vocabulary, weights, k=random.randint(2, 15))
        made.append(" ".join(one.title() if random.random() < 0.2 else one for one in words) + ".")
    return made, vocabulary


def search_all(folder: Path, store: Store, *logs: Path) -> None:
    made, vocabulary = texts()
    canary = f"canary{secrets.token_hex(8)}"
    made[MESSAGES // 2] += f" {canary}"
    holding: dict[str, set[int]] = defaultdict(set)
    for number, text in enumerate(made, 1):
        for word in text.lower().rstrip(".").replace(". ", " ").split():
            holding[word].add(number)
    with (
        served(store) as (upstream, targets),
        sidecar(folder, upstream) as front,
        closing(Reader(front.port)) as reader,
    ):
        for at in range(0, MESSAGES, BATCH):
            rows = [
                {"id": number, "content": text}
                for number, text in enumerate(made[at : at + BATCH], at + 1)
            ]
            status, answer = reader.ask("POST", "/rooms/r1/messages", {"messages": rows})
            assert status == 200, answer
        random = Random(5)  # noqa: S311 - no secret
        assert reader.find("r1", canary) == [MESSAGES // 2 + 1]
        assert reader.find("r2", canary) == []
        assert reader.find("r1", "neverwritten") == []
        for at in range(QUERIES):
            # Words of all frequencies, the commonest aside, of which there are thousands.
            word = vocabulary[20 + int(len(vocabulary) * random.random() ** 3) % 5900]
            words = [word] if at % 3 else [word, random.choice(vocabulary[:300])]
            expected = set.intersection(*(holding[one] for one in words))
            found = reader.find("r1", " ".join(words).upper())
            assert found == sorted(expected), words
        assert not any(canary in one or "neverwritten" in one for one in targets)
    for path in (*folder.rglob("*"), *logs):
        assert not path.is_file() or canary.encode() not in path.read_bytes(), path


def test_sqlite_finds_by_like(tmp_path: Path) -> None:
    with closing(Sqlite(tmp_path / "db.sqlite3")) as store:
        search_all(tmp_path, store)


@needs_postgresql
@pytest.mark.parametrize("trigrams", [False, True], ids=["ilike", "trigrams"])
def test_postgresql_finds_by_ilike(tmp_path: Path, *, trigrams: bool) -> None:
    with postgresql() as (port, log):
        uri = f"postgres://clinic@127.0.0.1:{port}/postgres"
        with closing(Postgresql(uri, trigrams=trigrams)) as store:
            search_all(tmp_path, store, log)


@pytest.mark.skipif(not KINTO.exists(), reason="no Kinto: `./dev test` installs it")
def test_kinto_finds_by_like(tmp_path: Path) -> None:
    texts = [
        f"Visit {at}: {'an allergy to Penicillin' if at % 3 else 'nothing'}" for at in range(60)
    ]
    with (
        kinto(tmp_path, history=False) as backend,
        sidecar(tmp_path, backend.port, KINTO_CONFIG) as front,
    ):
        client = Client(front.port)
        for path in ("/v1/buckets/clinic", "/v1/buckets/clinic/collections/messages"):
            assert client.ask("PUT", path).status == 201
        for text in texts:
            assert client.ask("POST", RECORDS, {"data": {"content": text}}).status == 201
        found: list[str] = []
        target: str | None = f"{RECORDS}?like_content=penicillin+to&_limit=15"
        while target is not None:
            page = client.ask("GET", target)
            assert page.status == 200, page.body
            found += [one["content"] for one in page.json["data"]]
            following = page.header("Next-Page")
            target = following and following[following.index("/v1/") :]
        assert sorted(found) == sorted(one for one in texts if "Penicillin" in one)
    assert b"enicillin" not in (tmp_path / "kinto.log").read_bytes()
