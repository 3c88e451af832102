from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from proxy.telemetry.logs import library_logs
from proxy.telemetry.logs.access_line import MessageLine, Refusal
from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.logs.processors import Format

CANARY = "CANARY-4f1d9a"


@dataclass
class Page:
    """A sink that keeps what was written."""

    raw: list[bytes] = field(default_factory=list)

    def __call__(self, line: bytes) -> None:
        self.raw.append(line)

    @property
    def text(self) -> str:
        return b"".join(self.raw).decode("ascii")

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


def rendered(
    event: str,
    fields: dict[str, object],
    log_format: Format = "json",
    *,
    now: float = 0.25,
) -> bytes:
    """Return what structlog's processors make of an event."""
    page = Page()
    Logs(page, log_format, clock=lambda: now, level="debug").report(event, **fields)
    return b"".join(page.raw)


def a_line(
    *,
    refused: str = "",
    reason: str = "",
    direction: str = "request",
    **more: Any,  # noqa: ANN401 - any field
) -> MessageLine:
    """Return the line of a message; `refused` is the code of an error, if there is one."""
    line = MessageLine("r-1", "api", "POST", "send", 200, 10, 20, 3.0, upstream_ms=2.0)
    refusal = Refusal(refused, reason, direction) if refused else None
    return replace(line, refusal=refusal, **more)


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def logs(page: Page) -> Logs:
    return Logs(page, clock=lambda: 1_700_000_000.25)


@pytest.fixture
def routed(logs: Logs) -> Iterator[Logs]:
    with library_logs.route(logs):
        yield logs
