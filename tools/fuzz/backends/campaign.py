"""A run: every backend at once, until the time is up; finds are made smaller and kept."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from . import servers
from .answering import answering, echo
from .backend import Backend, Clients, Echo, Find, Outcome, Pool, mint
from .case import Case, Kept
from .honest import base
from .minimise import minimise
from .mutators import mutate
from .mutators.bodies import WRAPPER
from .oracle import IN_LOG, What
from .routes import ROUTES
from .sidecar import WORLDS, Sidecar, serving

_CONNECTIONS: Final = 3
_TOKENS: Final = 8
_ECHO: Final = "answered"
_LOOK_SECONDS: Final = 2.0
_KEPT_OF_A_KIND: Final = 12
"""How many finds of one kind at one backend are made smaller; the others are counted."""


def generated(seed: int, backend: str, number: int, chosen: Sequence[str] = ()) -> Case:
    """Return the case that a seed gives for the number at a backend: always the same.

    `chosen` are the mutators to draw from, unless it is all of them.
    """
    rng = random.Random(f"{seed}/{backend}/{number}")  # noqa: S311 - see above
    draft = base(rng.choice(ROUTES), rng)
    mutate(draft, rng, chosen)
    worlds = WORLDS if WRAPPER not in draft.mutators else [one for one in WORLDS if one != "pass"]
    return draft.case().smaller(world=rng.choice(worlds))


@dataclass
class Rig:
    """The sidecar and the backends behind it."""

    sidecar: Sidecar
    backends: list[Backend]


@contextlib.asynccontextmanager
async def rigged(names: Sequence[str], command: Sequence[str]) -> AsyncIterator[Rig]:
    """Run the backends, and a sidecar with a listener before each."""
    strays: list[bytes] = []
    async with answering(echo, strays) as echoing:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-backends-")))
            places = await asyncio.to_thread(_start, names, folder, stack)
            upstreams = {name: place.port for name, place in places.items()} | {_ECHO: echoing}
            sidecar = stack.enter_context(serving(folder / "sealyard", command, upstreams))
            backends, shared = [], Echo(sidecar.ports[_ECHO]["pass"], strays)
            for name, place in places.items():
                tokens = await mint(shared.port, _TOKENS)
                pool = Pool(tokens, deque(tokens))
                backends.append(Backend(name, sidecar.ports[name], place.record, pool, shared))
            yield Rig(sidecar, backends)


def _start(
    names: Sequence[str], folder: Path, stack: contextlib.ExitStack
) -> dict[str, servers.Place]:
    """Start the backends side by side: some of them compile first."""

    def one(name: str) -> tuple[str, contextlib.ExitStack, servers.Place]:
        inner = contextlib.ExitStack()
        place = inner.enter_context(servers.running(name, folder / name))
        return name, inner, place

    places = {}
    with ThreadPoolExecutor(len(names)) as executor:
        for future in [executor.submit(one, name) for name in names]:
            name, inner, place = future.result()
            stack.push(inner)
            places[name] = place
    return places


@dataclass
class Campaign:
    """A run: its seed, when it ends, and what was found."""

    seed: int
    rig: Rig
    seconds: float
    chosen: Sequence[str] = ()
    began: float = field(default_factory=time.monotonic)
    finds: list[Find] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    _kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    _small: set[tuple[str, str, str]] = field(default_factory=set)
    _numbers: Counter[str] = field(default_factory=Counter)

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    async def run(self) -> None:
        """Send until the time is up, and look into the log now and then."""
        async with asyncio.TaskGroup() as group:
            for backend in self.rig.backends:
                for _ in range(_CONNECTIONS):
                    group.create_task(self._worker(backend))
            group.create_task(self._watch())

    async def replay(self, kept: Sequence[Kept]) -> None:
        """Send the cases that were kept, each to its backend, before anything new."""
        by_name = {backend.name: backend for backend in self.rig.backends}
        for one in kept:
            if one.backend in by_name:
                backend = by_name[one.backend]
                await self._one(backend, one.case, backend.clients())

    async def _worker(self, backend: Backend) -> None:
        clients = backend.clients()
        while self.elapsed < self.seconds:
            number = self._numbers[backend.name]
            self._numbers[backend.name] += 1
            await self._one(
                backend, generated(self.seed, backend.name, number, self.chosen), clients
            )
        for client in clients.values():
            client.close()

    async def _one(self, backend: Backend, case: Case, clients: Clients) -> None:
        outcome = await backend.attempt(case, clients)
        backend.counts["messages"] += 1
        backend.counts[_told(outcome)] += 1
        if outcome.wrong is not None:
            await self._found(backend, case, outcome, outcome.wrong, clients)

    async def _found(
        self, backend: Backend, case: Case, outcome: Outcome, what: What, clients: Clients
    ) -> None:
        find = Find(backend.name, what, case, outcome.detail, outcome.raw, self.elapsed)
        self.finds.append(find)
        kind = (backend.name, f"{what} {case.route} {sorted(set(case.mutators))}")
        self._kinds[kind] += 1
        self._kinds[backend.name, what] += 1
        if self._kinds[kind] > 1 or self._kinds[backend.name, what] > _KEPT_OF_A_KIND:
            return

        async def wrong(smaller: Case) -> bool:
            return (await backend.attempt(smaller, clients)).wrong == what

        if what != "hung" and not case.honest:
            case = await minimise(case, wrong)
        text = repr((case.method, case.target, case.headers, case.body, case.codings))
        key = (backend.name, what, f"{case.world} {text}")
        if key in self._small:
            return
        self._small.add(key)
        name = f"{what.replace(' ', '-')}-{hashlib.sha256(repr(key).encode()).hexdigest()[:10]}"
        told = f"{what}: {outcome.detail[:200]}"
        self.kept.append(Kept(name, backend.name, told, case))
        _say(f"{find.seconds:7.1f} s  {backend.name}: {told}\n{_shown(case)}")

    async def _watch(self) -> None:
        while self.elapsed < self.seconds:
            await asyncio.sleep(min(_LOOK_SECONDS, max(0.0, self.seconds - self.elapsed)))
            for line in self.rig.sidecar.trouble(IN_LOG):
                _say(f"{self.elapsed:7.1f} s  the log: {line[:2000]}")
                nothing = Case("", "", "", (), "")
                self.finds.append(Find("sealyard", "log", nothing, line, b"", self.elapsed))


def _told(outcome: Outcome) -> str:
    if outcome.answer.code is not None:
        return "refused"
    if outcome.sealed:
        return "sealed"
    return "opened" if outcome.opened else "passed"


def _shown(case: Case) -> str:
    first = f"{case.method} {case.target} (others: {case.world})"
    lines = [first, *(f"{name}: {text}" for name, text in case.headers)]
    more = f"   [{', '.join(case.codings)}]" if case.codings else ""
    body = case.body[:600].encode("unicode_escape").decode()
    shown = [*lines, "", body + more, f"by {', '.join(case.mutators) or 'nothing'}"]
    return "\n".join(f"            {line}" for line in shown)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
