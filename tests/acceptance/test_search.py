"""Searches in sealed messages, in real backends that know nothing of them.

`tests/searches` does the same over 100,000 messages.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import accumulate
from pathlib import Path
from random import Random  # noqa: TID251 - the same texts in every run
from typing import Any

import pytest

from proxy.demo.screen import search
from tests.pages.blocks import Block
from tests.pages.follow import steps
from tests.servers import PATIENCE_SECONDS, free_port

from .conftest import PASSPHRASE, ROOT, Process, running
from .search_backend import Row, served
from .searched import ROOM, SEARCHED, Searched, configuration

pytestmark = pytest.mark.acceptance

MESSAGES = 1_000
QUERIES = 60
BATCH = 500
ALLERGY = "Penicillin allergy confirmed"
HOSTILE = ("penic*", "%", "_", "a%", "o'r", "x' || 1=1", "~aaaaa~", ".*", "x\\", "[a-z]", "*%", '"')
"""Wildcards, expressions and quotes: refused, or words that nothing has."""
MORE = "MORE"
WRITTEN = 20
"""So many are written through the backend; then others are put beside them."""


@contextmanager
def sidecar(folder: Path, text: str, **ports: int) -> Iterator[Process]:
    port = free_port()
    file = folder / "sealyard.yaml"
    for name, one in {"PORT": port, **ports}.items():
        text = text.replace(f":{name}\n", f":{one}\n")
    file.write_text(text)
    command = [sys.executable, "-P", "-m", "proxy"]
    environment = {"SEALYARD_PASSPHRASE": PASSPHRASE, "PYTHONPATH": str(ROOT)}
    for verb in (["keys", "init"], ["keys", "rotate-index"]):
        if verb[1] == "rotate-index" or not (folder / "keyring.jwe").exists():
            subprocess.run(
                [*command, *verb, "--config", str(file)],
                env={**os.environ, **environment},
                cwd=folder,
                check=True,
                capture_output=True,
            )
    serve = [*command, "serve", "--config", str(file)]
    with running(serve, port, folder / "sealyard.log", **environment) as process:
        yield process


class Reader:
    """A client on one connection."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        self._headers = dict(headers or {})

    def close(self) -> None:
        self._connection.close()

    def answer(
        self, method: str, target: str, body: object = None
    ) -> tuple[int, dict[str, str], bytes]:
        text = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request(method, target, text, {**self._headers, **headers})
        answer = self._connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def ask(self, method: str, target: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        status, headers, text = self.answer(method, target, body)
        assert status in {200, 201}, text
        found = json.loads(text)
        return {**found, "header": headers.get} if isinstance(found, dict) else found


def a_vocabulary(random: Random) -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(random.choices(letters, k=random.randint(3, 11))) for _ in range(6000)]


def texts(messages: int) -> tuple[list[str], list[str]]:
    """Return messages in which words are as common as in a language (Zipf), and the words."""
    random = Random(11)  # noqa: S311 - no secret
    vocabulary = a_vocabulary(random)
    weights = list(accumulate(1 / (rank + 3) for rank in range(len(vocabulary))))
    made = []
    for _ in range(messages):
        words = random.choices(vocabulary, cum_weights=weights, k=random.randint(2, 15))
        made.append(" ".join(one.title() if random.random() < 0.2 else one for one in words) + ".")
    return made, vocabulary


class Collector:
    """A store that hands on what it gets: no client would be given the tags."""

    def __init__(self) -> None:
        self.sealed: list[str] = []

    def close(self) -> None:
        """Keep nothing."""

    def add(self, _: str, rows: Sequence[Row]) -> None:
        self.sealed += [text for _, text in rows]

    def find(self, *_: object) -> tuple[list[Row], int]:
        return [], 0


def follow(one: Searched, port: int, headers: Mapping[str, str]) -> None:
    """Run what the page shows: a message is written, and found."""
    signed_in = next(
        (f"{name}: {text}" for name, text in reversed([*headers.items()])), "X-None: 1"
    )
    for step in steps(Block("", 0, "sh", one.shown("sh"))):
        done = subprocess.run(
            ["/bin/sh", "-c", step.command.replace("localhost:8080", f"127.0.0.1:{port}")],
            env={**os.environ, "SIGNED_IN": signed_in},
            check=True,
            capture_output=True,
            text=True,
        )
    assert done.stdout.count(ALLERGY) == 1, done.stdout


def finds_nothing(found: Callable[[str], Counter[str]], text: str) -> bool:
    """Return whether Sealyard refuses a search, or nothing is found."""
    try:
        return not found(text)
    except AssertionError as refused:
        return "urn:sealyard" in str(refused)
    except KeyError as missing:  # GraphQL has errors in place of data
        return missing.args == ("data",)


@pytest.mark.parametrize("partial", [False, True])
def test_while_values_have_no_tags_a_search_is_refused_or_partial(
    tmp_path: Path, *, partial: bool
) -> None:
    one, collector, second = SEARCHED["sqlite"], Collector(), free_port()
    texts = [f"Visit {at}: penicillin" for at in range(90)]
    text = configuration(one).replace("match: words}", f"match: words, complete: false{MORE}}}")
    with (
        one.start(tmp_path) as backend,
        served(collector) as (collecting, _),
        sidecar(
            tmp_path,
            text.replace(MORE, ", partial: true" if partial else ""),
            UPSTREAM=backend.port,
            COLLECTOR=collecting,
            SECOND=second,
        ) as front,
        closing(Reader(front.port)) as reader,
        closing(Reader(second)) as sealing,
    ):
        rows = [{"id": 0, "content": text} for text in texts]
        sealing.ask("POST", f"/rooms/{ROOM}/messages", {"messages": rows})
        sealed = collector.sealed
        plain, untagged = texts[:30], [one.partition("~")[0] for one in sealed[30:60]]
        backend.put([*plain, *untagged, *sealed[60:]])
        status, headers, _ = reader.answer("GET", f"/rooms/{ROOM}/messages?q=Penicillin")
        if partial:
            found = [one for page in one.pages(reader.ask, "Penicillin") for one in page]
            assert found == texts[60:]
        else:
            assert (status, headers["Sealyard-Error"]) == (503, "index-incomplete")


@pytest.mark.parametrize("name", SEARCHED)
def test_a_backend_finds_all_that_has_the_words_and_nothing_else(name: str, tmp_path: Path) -> None:
    find_all(name, tmp_path, MESSAGES)


def find_all(name: str, tmp_path: Path, messages: int) -> None:
    """Search drawn words in so many messages of a backend, over all pages."""
    one = SEARCHED[name]
    if not one.needs.exists():
        pytest.skip(f"{one.needs.name} is not installed")
    made, vocabulary = texts(messages)
    canary = f"canary{secrets.token_hex(8)}"
    made[messages // 2] += f" {canary}"
    made[WRITTEN // 2] += f" {canary}"
    holding: dict[str, set[int]] = defaultdict(set)
    for number, text in enumerate(made):
        for word in text.lower().rstrip(".").replace(". ", " ").split():
            holding[word].add(number)
    second, collector = free_port(), Collector()
    with (
        one.start(tmp_path) as backend,
        served(collector) as (collecting, _),
        sidecar(
            tmp_path,
            configuration(one),
            UPSTREAM=backend.port,
            COLLECTOR=collecting,
            SECOND=second,
        ) as front,
        closing(Reader(front.port, backend.headers)) as reader,
        closing(Reader(second)) as sealing,
    ):

        def found(words: str) -> Counter[str]:
            return Counter(text for page in one.pages(reader.ask, words) for text in page)

        follow(one, front.port, backend.headers)
        for text in made[:WRITTEN]:
            reader.ask(*one.write(text))
        for at in range(WRITTEN, messages, BATCH):
            rows = [{"id": 0, "content": text} for text in made[at : at + BATCH]]
            sealing.ask("POST", f"/rooms/{ROOM}/messages", {"messages": rows})
        backend.put(collector.sealed)
        reader.close()  # idle for longer than connections are kept: it opens another
        assert found(canary) == Counter([made[WRITTEN // 2], made[messages // 2]])
        assert found(f"{canary}neverwritten") == Counter()
        random = Random(5)  # noqa: S311 - no secret
        for at in range(QUERIES):
            # Words of all frequencies, the commonest aside, of which there are thousands.
            word = vocabulary[20 + int(len(vocabulary) * random.random() ** 3) % 5900]
            words = [word] if at % 3 else [word, random.choice(vocabulary[:300])]
            expected = set.intersection(*(holding[one] for one in words))
            assert found(" ".join(words).upper()) == Counter(made[one] for one in expected), words
        for hostile in HOSTILE:
            assert finds_nothing(found, hostile), hostile
        kept = backend.kept()
        assert not search(canary, kept)
        assert not search(ALLERGY, kept)
    assert not search(canary, {"log": (tmp_path / "sealyard.log").read_bytes()})
