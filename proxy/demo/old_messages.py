"""A chapter of the demo: messages from before Sealyard are sealed, proven, and taken out again."""

from __future__ import annotations

import io
import json
import os
import time
from http import HTTPStatus
from typing import Any, Final

from ..config.settings import SecretReference
from ..keys.keyring.file import open_keyring
from ..keys.keyring.keyring import Keyring
from ..keys.keyring.roots import FileRoot
from ..migration import runner
from ..migration.job.model import ROOT, Column, Job, StoredTable, Verb
from ..migration.job.names import Binding, ColumnSource, ConstSource
from ..migration.job.places import Pipe
from ..migration.progress import Progress
from ..migration.values.states import Tally
from ..migration.worker import Order
from .screen import Screen, pretty
from .stage import Stage

OLD: Final = ("Aspirin 100 mg at eight, says Ada", "Since 2019, no reaction, says Grace")
_BINDING: Final = Binding(ConstSource("clinic"), ColumnSource("conversationId"), "content")
_JOB: Final = Job(
    Pipe("ndjson"), (StoredTable("messages", (Column("content", _BINDING, ROOT),)),), "demo"
)


async def play(scene: Stage, screen: Screen) -> None:
    """Store two plain messages, and migrate all that the backend holds."""
    scene.begin(
        screen,
        "9. Old messages",
        "The backend has messages from before it had Sealyard, which are plain. `sealyard migrate"
        " seal` seals them where they are stored, and leaves alone what is sealed already. A copy"
        " then gets another key-encryption key by `reseal`, and is taken out again by `open`.",
    )
    backend = scene.backend
    for number, text in enumerate(OLD, len(backend.rows) + 1):
        row = {"id": number, "conversationId": "ward-9", "from": "ada", "content": text}
        backend.rows.append(row)
    before = list(backend.rows)
    keyring = open_keyring(
        scene.folder / "keyring.jwe", FileRoot(SecretReference(file=scene.folder / "root.key"))
    )
    refused = await scene.read("ward-9")
    sealed, backend.rows[:] = await _migrated(keyring, "seal", before)
    backend.save()
    proven, _ = await _migrated(keyring, "verify", backend.rows)
    got = await scene.read("ward-9")
    later = keyring.add("next", now=int(time.time()), random=os.urandom).promote("next")
    _, rotated = await _migrated(later, "reseal", backend.rows)
    under, _ = await _migrated(later, "verify", rotated)
    opened, after = await _migrated(later, "open", rotated)
    screen.side_by_side(
        {
            "before": pretty(before[-1]),
            "after `seal`": pretty(backend.rows[-1]),
            "after `open`": pretty(after[-1]),
        }
    )
    old = len(OLD)
    screen.claim(refused.status == HTTPStatus.BAD_GATEWAY, "plain messages are refused by a rule")
    screen.claim(sealed.of("sealed-now") == old, "only the plain messages were sealed")
    screen.claim(proven.left("verify") == 0, "`verify` counts none that is plain or does not open")
    screen.claim(
        [one["content"] for one in got.json["messages"]] == list(OLD), "readers get the old text"
    )
    screen.claim(backend.rows[:-old] == before[:-old], "all others have their bytes")
    screen.claim(
        {one.outcome.kek for one in under.values} == {"next"},
        "after `reseal`, nothing needs the old key-encryption key",
    )
    screen.claim(
        opened.left("open") == 0 and after[-old:] == before[-old:],
        "after `open`, no token is left, and the old messages are as they were",
    )


Rows = list[dict[str, Any]]


async def _migrated(keyring: Keyring, verb: Verb, rows: Rows) -> tuple[Tally, Rows]:
    """Return what a verb counts in rows, and what it makes of them."""
    source = io.BytesIO("".join(f"{json.dumps(row)}\n" for row in rows).encode())
    output = io.BytesIO()
    order = Order(_JOB, verb, keyring, (source, output), time.time)
    done = await runner.run(order, Progress(io.StringIO(), time.monotonic))
    return done.tally, [json.loads(line) for line in output.getvalue().splitlines()]
