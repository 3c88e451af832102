"""A chapter of the demo: messages from before Sealyard are sealed, proven, and taken out again."""

from __future__ import annotations

import io
import json
import time
from http import HTTPStatus
from typing import Final

from ..config.settings import SecretReference
from ..keys.keyring.file import open_keyring
from ..keys.keyring.roots import FileRoot
from ..migration import runner
from ..migration.job.model import (
    ROOT,
    Binding,
    Column,
    ColumnSource,
    ConstSource,
    Job,
    Pipe,
    StoredTable,
    Verb,
)
from ..migration.progress import Progress
from ..migration.worker import Order
from .screen import Screen
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
        " seal` seals them where they are stored, and leaves alone what is sealed already.",
    )
    backend = scene.backend
    for number, text in enumerate(OLD, len(backend.rows) + 1):
        row = {"id": number, "conversationId": "ward-9", "from": "ada", "content": text}
        backend.rows.append(row)
    before = list(backend.rows)
    refused = await scene.read("ward-9")
    sealed = await _migrated(scene, "seal")
    proven = await _migrated(scene, "verify")
    got = await scene.read("ward-9")
    screen.side_by_side({"before": _pretty(before[-1]), "after `seal`": _pretty(backend.rows[-1])})
    screen.claim(refused.status == HTTPStatus.BAD_GATEWAY, "plain messages are refused by a rule")
    screen.claim(sealed == len(OLD), "only the plain messages were sealed")
    screen.claim(proven == 0, "`verify` counts none that is plain or does not open")
    screen.claim(
        [one["content"] for one in got.json["messages"]] == list(OLD), "readers get the old text"
    )
    screen.claim(backend.rows[: -len(OLD)] == before[: -len(OLD)], "all others have their bytes")


async def _migrated(scene: Stage, verb: Verb) -> int:
    """Return how many values were sealed, or of `verify` how many are left."""
    root = FileRoot(SecretReference(file=scene.folder / "root.key"))
    keyring = open_keyring(scene.folder / "keyring.jwe", root)
    source = io.BytesIO("".join(f"{json.dumps(row)}\n" for row in scene.backend.rows).encode())
    output = io.BytesIO()
    order = Order(_JOB, verb, keyring, (source, output), time.time)
    done = await runner.run(order, Progress(io.StringIO(), time.monotonic))
    if verb == "verify":
        return done.tally.left(verb)
    scene.backend.rows[:] = [json.loads(line) for line in output.getvalue().splitlines()]
    scene.backend.save()
    return done.tally.of("sealed-now")


def _pretty(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
