"""Nothing of 1,000 secrets of 12 kinds reaches the log, whatever a message or a library says."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.config.settings import SecretReference
from proxy.keys.keyring import create
from proxy.keys.keyring_file import create_keyring
from proxy.keys.roots import FileRoot, create_root_file
from tests.scenarios.rig import free_port

from .canaries import COUNT, Canary, make
from .carriers import ADMIN, TRAFFIC, authorized, request
from .rig import Searched, odd_backend, send_all, watched, write_needles

FORMATS = ("json", "console", "ecs")
CONTROL = "control-word-that-is-found"

CONFIGURATION = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
admin: {{listen: "127.0.0.1:{admin}", token: {{file: admin.token}}}}
health: {{listen: "127.0.0.1:{health}"}}
listeners:
  - name: api
    listen: "127.0.0.1:{port}"
    upstream: http://127.0.0.1:{upstream}
    unmatched: pass
    limits: {{connections: 2000, clients_per_address: 2000}}
    defaults: {{tenant: "const:alpha"}}
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

MISTAKES = (
    'tenants: "@"',
    '"@": 1',
    "keys: {{passphrase: '@'}}",
    "admin: {{listen: 'http://user:@@127.0.0.1:1'}}",
    "- '@'",
    "fields: {{content: {{form: '@'}}}}",
)


def prepare(folder: Path, upstream: int, token: str) -> tuple[int, int, int, Callable[[str], None]]:
    """Write keys and a configuration; return the ports and what changes the configuration."""
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
    return port, admin, health, write


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
) -> Searched:
    """Run one process through everything, and return what its log was like."""
    token = next(one.text for one in canaries if one.kind == "token").replace(".", "-")
    async with odd_backend() as upstream:
        port, admin, health, write = prepare(folder, upstream, token)
        needles = write_needles(folder, canaries, CONTROL)
        with watched(
            folder, canaries, needles, "--log-format", log_format, lines=lines
        ) as searched:
            await _accepting(health)
            await send_all(port, share(canaries, each))
            await send_all(port, [request(b"/control")])
            few = canaries[:admin_each]
            for wanted in (admin, health):
                await send_all(wanted, (way(one.sent) for one in few for way in ADMIN.values()))
            for one in few:
                await send_all(admin, authorized(token, one.sent), clients=1)
                # The guard lets fifty calls a second in; what it refuses proves less.
                await asyncio.sleep(0.25)
            await _reload(admin, token, few[: 2 * len(MISTAKES)], write)
            await asyncio.to_thread(searched.done.wait, 3600)
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


async def _reload(
    admin: int, token: str, canaries: tuple[Canary, ...], write: Callable[[str], None]
) -> None:
    lines = f"Authorization: Bearer {token}\r\n".encode()
    for canary, mistake in zip(canaries, itertools.cycle(MISTAKES), strict=False):
        text = "".join(char for char in canary.text if char.isprintable() and char not in "'\"")
        write(mistake.replace("{{", "{").replace("}}", "}").replace("@", text))
        await send_all(admin, [request(b"/-/reload", method=b"POST", lines=lines, body=b"")])
        await asyncio.sleep(0.05)


def judge(searched: Searched, lines: int) -> None:
    """Fail where a canary was found, or where the search itself cannot be trusted."""
    strays = [line for line in searched.found.splitlines() if CONTROL.encode() not in line]
    assert not strays, strays[:5]
    assert CONTROL.encode() in searched.found, searched.last
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
    wanted = 100_000
    searched = await exercise(
        tmp_path, make(), log_format="json", lines=wanted, each=1, admin_each=6
    )

    judge(searched, wanted)
    record_property("lines searched", f"{searched.lines:,}")


@pytest.mark.slow
async def test_canaries_are_not_in_ten_million_lines(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    total = 0
    for log_format, wanted in zip(FORMATS, (8_000_000, 1_000_000, 1_000_000), strict=True):
        folder = tmp_path / log_format
        folder.mkdir()
        searched = await exercise(
            folder, make(), log_format=log_format, lines=wanted, each=len(TRAFFIC), admin_each=60
        )
        judge(searched, wanted)
        total += searched.lines
        record_property(f"lines in {log_format}", f"{searched.lines:,}")

    assert total >= 10_000_000
