"""What sealed deltas cost: bytes that the gateway sees, and how much later each character comes.

`python -m tests.acceptance.llm_measure` streams an answer of a thousand characters, five every 20
ms, through the two Sealyards of config/examples/llm-*.yaml, and prints a row for each batch.
`--short` streams a fifth of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import aiohttp

from .llm_backends import ChatServer, by_events
from .llm_scene import JWE, Scene, scene

BATCHES: Final = ("off", "100ms", "250ms", "1s", "end")
PAUSE_SECONDS: Final = 0.02
TEXT: Final = "one two, three four. "


@dataclass
class Clock:
    """When each character went by."""

    times: list[float] = field(default_factory=list)

    def pass_by(self, event: bytes) -> None:
        """Note the characters of an event."""
        data = event.partition(b"data: ")[2]
        if data.startswith(b"{"):
            now = time.monotonic()
            for choice in json.loads(data)["choices"]:
                text = choice["delta"].get("content") or ""
                self.times += [now] * len(text)


@dataclass
class TimedServer(ChatServer):
    """A chat server that notes when it sends each character."""

    clock: Clock = field(default_factory=Clock)

    def cut(self, stream: bytes, _: str) -> Iterable[bytes]:
        for event in by_events(stream):
            self.clock.pass_by(event)
            yield event


@dataclass
class Row:
    """What one stream came to: events and bytes at the gateway, delays in seconds."""

    events: int
    tokens: int
    bytes: int
    delays: list[float]

    def text(self, name: str) -> str:
        """Return the row of the table."""
        late = quantiles(self.delays, n=100)
        return (
            f"| {name} | {self.events} | {self.tokens} | {self.bytes:,} |"
            f" {self.bytes / len(self.delays):.0f} | {median(self.delays) * 1000:.0f} |"
            f" {late[98] * 1000:.0f} |"
        )


async def streamed(one: Scene, server: TimedServer, port: int) -> Row:
    """Return what a stream comes to that a client reads at a port."""
    server.clock, clock = Clock(), Clock()
    one.gateway.bodies.clear()
    sent = {
        "model": "events",
        "stream": True,
        "user": "room-1",
        "messages": [{"role": "user", "content": "hi"}],
    }
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json=sent) as answer:
        rest = b""
        async for data in answer.content.iter_any():
            *events, rest = (rest + data).split(b"\n\n")
            for event in events:
                clock.pass_by(event)
    stream = b"".join(one.gateway.bodies)
    delays = [got - said for said, got in zip(server.clock.times, clock.times, strict=True)]
    return Row(stream.count(b"data: "), stream.count(JWE), len(stream), delays)


async def measure(characters: int) -> None:
    """Print the table."""
    server = TimedServer(pause=PAUSE_SECONDS, answer=(TEXT * characters)[:characters])
    sys.stdout.write(
        "| `batch` | events | tokens | bytes | bytes a character | delay (median, ms) |"
        " (99 %, ms) |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    )
    for batch in BATCHES:
        with tempfile.TemporaryDirectory() as folder:
            async with scene(Path(folder), batch=batch, server=server) as one:
                if batch == BATCHES[0]:
                    row = await streamed(one, server, one.direct)
                    sys.stdout.write(row.text("without Sealyard") + "\n")
                row = await streamed(one, server, one.through)
        sys.stdout.write(row.text("none" if batch == "off" else f"`{batch}`") + "\n")
        sys.stdout.flush()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="measure what sealed deltas cost")
    parser.add_argument("--short", action="store_true", help="a fifth of the answer")
    asyncio.run(measure(200 if parser.parse_args().short else 1000))


if __name__ == "__main__":
    main()
