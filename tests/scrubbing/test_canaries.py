"""Nothing of 1,000 secrets of 12 kinds reaches the log, whatever a message or a library says."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import create
from proxy.keys.keyring.roots import FileRoot, create_root_file
from tests.servers import free_port

from .canaries import COUNT, Canary, make, own
from .carriers import ADMIN, TRAFFIC, authorized, request
from .proof import BATCH, WANTED, Batch, Batches
from .rig import (
    PATIENCE_SECONDS,
    Searched,
    ask,
    listen,
    odd_backend,
    send_all,
    watched,
    write_needles,
)

CONTROL = "control-word-that-is-found"

CONFIGURATION = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
admin: {{listen: "127.0.0.1:{admin}", token: {{file: admin.token}}, status_page: true, tap: true}}
health: {{listen: "127.0.0.1:{health}"}}
listeners:
  - name: api
    listen: "127.0.0.1:{port}"
    upstream: http://127.0.0.1:{upstream}
    unmatched: pass
    limits: {{connections: 2000, clients_per_address: 2000}}
    defaults: {{others: pass, tenant: "const:alpha"}}
    rules:
      - name: seal
        match: POST /api/messages
        conversation: $.conversationId
        request: {{encrypt: [$.content]}}
        response: {{decrypt: [$.content]}}
      - name: open
        match: POST /api/open
        conversation: $.conversationId
        request: {{decrypt: [$.content]}}
      - name: odd
        match: GET /odd/**
        conversation: const:c1
        response: {{decrypt: [$.content]}}
      - name: {control}
        match: GET /control
        conversation: const:c1
        response: {{decrypt: [$.content]}}
{more}
"""

SEEN = ("/metrics", "/v1/status", "/v1/config", "/readyz?verbose", "/v1/status/follow?status")
KINDS = 12
FEW = 20 * KINDS
"""Of a process that differs only in how its lines go out; one round tells all of them once."""
MISTAKES = (
    'tenants: "@"',
    '"@": 1',
    "fields: {content: {form: '@'}}",
    "fields: {content: {'@': short}}",
    "- '@'",
    "a: '@",
)


@dataclass(frozen=True)
class Prepared:
    """Where the process listens, what changes its configuration, and what its own secrets are."""

    port: int
    admin: int
    health: int
    write: Callable[[str], None]
    needles: frozenset[bytes]


def prepare(folder: Path, upstream: int, token: str) -> Prepared:
    """Write keys and a configuration."""
    create_root_file(folder / "root.key", random=os.urandom)
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    root = FileRoot(SecretReference(file=folder / "root.key"))
    create_keyring(folder / "keyring.jwe", keyring, root)
    (folder / "admin.token").write_text(token + "\n")
    (folder / "admin.token").chmod(0o600)
    port, admin, health = free_port(), free_port(), free_port()

    def write(more: str) -> None:
        places = {"port": port, "admin": admin, "health": health, "upstream": upstream}
        text = CONFIGURATION.format(**places, control=CONTROL, more=more)
        (folder / "sealyard.yaml").write_text(text)

    write("")
    keys = [entry.key.reveal() for entry in keyring.keks]
    keys += [keyring.identity.reveal(), keyring.name_key.reveal(), keyring.record_key.reveal()]
    keys += [(folder / "root.key").read_bytes().strip()[-32:]]
    return Prepared(port, admin, health, write, own(keys))


def share(canaries: tuple[Canary, ...], each: int) -> Iterator[bytes]:
    """Yield requests to the traffic port: each canary by `each` carriers, all carriers in turn."""
    carriers = itertools.cycle(TRAFFIC.values())
    for canary in canaries:
        for carrier in itertools.islice(carriers, each):
            yield carrier(canary.sent)
        # One carrier more, so that no kind always meets the same ones.
        next(carriers)


async def exercise(
    folder: Path,
    canaries: tuple[Canary, ...],
    *,
    log_format: str,
    lines: int,
    each: int,
    admin_each: int,
    options: tuple[str, ...] = (),
) -> Searched:
    """Run one process through everything, and return what its log was like."""
    token = next(one.text for one in canaries if one.kind == "token").replace(".", "-")
    async with odd_backend() as upstream:
        made = prepare(folder, upstream, token)
        needles = write_needles(folder, canaries, made.needles, CONTROL)
        with watched(
            folder, canaries, needles, "--log-format", log_format, *options, lines=lines
        ) as searched:
            await _accepting(made.health)
            loop = asyncio.get_running_loop()
            tapped: list[bytes] = []
            tapping = loop.create_task(listen(made.admin, SEEN[-1], token, tapped))
            await send_all(made.port, share(canaries, each))
            await send_all(made.port, [request(b"/control")])
            few = canaries[:admin_each]
            for wanted in (made.admin, made.health):
                await send_all(wanted, (way(one.sent) for one in few for way in ADMIN.values()))
            for one in few:
                await send_all(made.admin, authorized(token, one.sent), clients=1)
                # The guard lets fifty calls a second in; what it refuses proves less.
                await asyncio.sleep(0.25)
            await _reload(made, token, canaries[:KINDS])
            for path in SEEN:
                searched.told[path] = await ask(made.admin, path, token)
            tapping.cancel()
            searched.told["the tap while they pass"] = b"".join(tapped)
            # Ten times as long as it takes here: `judge` says what was missing.
            await asyncio.to_thread(searched.over.wait, PATIENCE_SECONDS + lines / 1000)
        needed = [
            one for one in needles.read_bytes().split(b"\n") if one and one != CONTROL.encode()
        ]
    for path, text in searched.told.items():
        assert text.startswith(b"HTTP/1.1 200"), (path, text[:80])
        assert not [one for one in needed if one in text], path
    return searched


async def _accepting(port: int) -> None:
    for _ in range(400):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("it does not listen")


async def _reload(made: Prepared, token: str, canaries: tuple[Canary, ...]) -> None:
    lines = f"Authorization: Bearer {token}\r\n".encode()
    for canary, mistake in itertools.product(canaries, MISTAKES):
        text = "".join(char for char in canary.text if char.isprintable() and char not in "'\"")
        made.write(mistake.replace("@", text))
        await send_all(made.admin, [request(b"/-/reload", method=b"POST", lines=lines, body=b"")])


def judge(searched: Searched, lines: int) -> None:
    """Fail where a canary was found, or where the search itself cannot be trusted."""
    strays = [line for line in searched.found.splitlines() if CONTROL.encode() not in line]
    assert not strays, strays[:5]
    assert CONTROL.encode() in searched.found, searched.last
    assert b'"sealed"' in searched.told["the tap while they pass"]
    assert searched.whole, searched.last
    assert searched.lines >= lines
    of = searched.of
    for name in (b"message.handled", b"message.refused", b"library.message", b"exception.unhandled",
                 b"library.warning", b"admin.called", b"config.problem"):  # fmt: skip
        assert of[name], (name, searched.last)


def test_there_are_a_thousand_canaries_of_twelve_kinds() -> None:
    canaries = make()

    assert len(canaries) == COUNT
    assert len({canary.kind for canary in canaries}) == 12
    assert len({canary.sent for canary in canaries}) == COUNT


async def test_canaries_are_not_in_the_log(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    wanted = 50_000
    searched = await exercise(
        tmp_path, make(), log_format="json", lines=wanted, each=1, admin_each=6
    )

    judge(searched, wanted)
    record_property("lines searched", f"{searched.lines:,}")


def test_no_needle_is_so_short_that_anything_might_hold_it() -> None:
    needles = {needle for canary in make() for needle in canary.needles}

    assert min(map(len, needles)) >= 8


async def test_canaries_are_not_in_the_log_of_workers(tmp_path: Path) -> None:
    wanted = 5_000
    searched = await exercise(
        tmp_path,
        make(FEW),
        log_format="json",
        lines=wanted,
        each=1,
        admin_each=2,
        options=("--workers", "2"),
    )

    judge(searched, wanted)


async def test_canaries_of_a_log_processor_are_not_in_the_log(tmp_path: Path) -> None:
    wanted = 5_000
    searched = await exercise(
        tmp_path,
        make(FEW),
        log_format="json",
        lines=wanted,
        each=1,
        admin_each=2,
        options=("--log-processor", "company:babble"),
    )

    judge(searched, wanted)
    assert searched.of[b"log.processor_failed"] == 1


@pytest.mark.slow
async def test_canaries_are_not_in_ten_million_lines(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    batches = Batches()
    for log_format in batches.missing():
        folder = tmp_path / str(len(batches.passed))
        folder.mkdir()
        searched = await exercise(
            folder,
            make(),
            log_format=log_format,
            lines=BATCH,
            each=len(TRAFFIC),
            admin_each=KINDS,
        )
        judge(searched, BATCH)
        batches.add(Batch(log_format, searched.lines))

    passed = batches.passed
    assert sum(one.lines for one in passed) >= 10_000_000
    for log_format in WANTED:
        record_property(f"lines in {log_format}", f"{batches.lines(log_format):,}")
    record_property("canaries", f"{sum(one.canaries for one in passed):,}")
    record_property("requests", f"{sum(one.requests for one in passed):,}")
