"""Sending a row to a backend, with Sealyard in front and without, and what its handler got."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.config.load import parse
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.session_cipher import Session
from proxy.core.errors import Unopened
from proxy.core.values.key_needs import Attempt, Keys, Needs
from proxy.demo.screen import search
from tests.bypass.backends import Backend
from tests.bypass.rows import CARD, Row
from tests.factories import keys_for
from tests.traffic.ours import local, proxied
from tests.traffic.wire import talk

NUMBER: Final = "41119261"
PART_CARD: Final = "4111-CANARY"
CONFIGURATION: Final = """\
version: 1
keys:
  keyring: {file: keyring.jwe, key: {file: root.key}}
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    defaults: {others: pass, tenant: const:clinic}
    rules:
      - name: public
        match: /public/**
      - name: pay
        match: POST /api/pay
        request:
          - encrypt: $.card
          - encrypt: form:card
          - encrypt: part:card
      - name: anything else of the interface
        match: /api/{what}
      - name: the rest
        match: /**
"""
"""As an author writes it: nothing is said of spellings or places, and open rules stand beside."""


class FactoryKeys:
    """Keys at hand for everything."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        return keys_for(needs)

    async def resolve(self, needs: Needs) -> Keys:
        return keys_for(needs)

    def remember(self, sessions: Iterable[Session]) -> None:
        return None

    shut: frozenset[tuple[str, str]] = frozenset()

    def refused(self, unopened: Sequence[Unopened], attempt: Attempt) -> bool:
        return False


@dataclass(frozen=True)
class Result:
    """What a row came to: the status that the client saw, and what the handler ran with."""

    status: int
    runs: tuple[bytes, ...]

    @property
    def leaked(self) -> bool:
        """Whether the handler ran with a card that can be read."""
        places = {str(at): run for at, run in enumerate(self.runs)}
        return any(search(one, places) for one in (CARD, PART_CARD, NUMBER))

    @property
    def sealed(self) -> bool:
        """Whether the handler ran, and each time with a token and no card."""
        tokens = [b"eyJ0eXAiOiJzeTEi" in run for run in self.runs]
        return bool(tokens) and all(tokens) and not self.leaked

    def __str__(self) -> str:
        if not self.runs:
            return str(self.status)
        if self.leaked:
            return "plain"
        return "sealed" if self.sealed else "ran"


def _unpacked(body: bytes) -> bytes:
    """Return a body and, behind it, what is left of it when gzip has been undone."""
    layers = [body]
    with contextlib.suppress(gzip.BadGzipFile, EOFError, zlib.error):
        while layers[-1]:
            layers.append(gzip.decompress(layers[-1]))
    return b"\n".join(layers)


async def _ask(port: int, backend: Backend, row: Row) -> Result:
    backend.runs()
    answer = await talk(port, row.raw)
    runs = tuple(target + b"\n" + _unpacked(body) for target, body in backend.runs())
    return Result(answer.status, runs)


async def alone(backend: Backend, row: Row) -> Result:
    """Send a row to a backend that nothing protects."""
    return await _ask(backend.port, backend, row)


class Protected:
    """A backend behind a Sealyard that has one rule."""

    def __init__(self, port: int, backend: Backend) -> None:
        self._port = port
        self._backend = backend

    async def send(self, row: Row) -> Result:
        """Send a row through Sealyard."""
        return await _ask(self._port, self._backend, row)


@contextlib.asynccontextmanager
async def protected(backend: Backend) -> AsyncIterator[Protected]:
    """Put a Sealyard in front of a backend; what no rule takes may pass."""
    settings = parse(CONFIGURATION, Path("sealyard.yaml"), {}).settings.listeners[0]
    rule_table = RuleTable(settings.rules, pass_unmatched=settings.pass_unmatched)
    async with proxied(local(backend.port), rule_table=rule_table, keys=FactoryKeys()) as ours:
        yield Protected(ours.port, backend)
