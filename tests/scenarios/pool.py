"""Running sidecars that tests take one after another: each reloads what the test wants of it.

Starting a sidecar takes most of a second of a processor, to reload one a few milliseconds. Each
test has keys of its own, so that nothing of another test opens or is found, and an upstream of its
own. The log is emptied before the reload, so that it is what the sidecar has written for this test.
Only counters go on from one test to the next.

A test of what happens at the start, at the end or in the environment of a process, and one that
looks at its memory or its counters, has a process of its own: `rig.served`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Unpack

from tests.scenarios.rig import Served, Wanted, configured, running, write_keys
from tests.servers import free_port

_QUIET_SECONDS: Final = 10.0
_SHOWN_CHARACTERS: Final = 6000
_RELATIVE: Final = re.compile(r"(?<=file: )(?=\w)")
_UNDER_WAY: Final = re.compile(
    r"^sealyard_upstream_(?:requests|long_lived)\{.*\} (?!0\.0$).*", re.MULTILINE
)
Text = Callable[["Place"], str]


@dataclass(frozen=True)
class Place:
    """The ports of a sidecar, and the folder of what a reload cannot change, such as its store."""

    folder: Path
    port: int
    admin: int
    health: int


@dataclass
class _Sidecar:
    place: Place
    served: Served
    stack: ExitStack
    taken: bool = False


class Pool:
    """The sidecars of one process of pytest, by what only a start can set."""

    def __init__(self) -> None:
        self._sidecars: dict[object, list[_Sidecar]] = {}
        self._given: list[Served] = []

    @asynccontextmanager
    async def taken(
        self, folder: Path, key: object, text: Text, *options: str
    ) -> AsyncIterator[Served]:
        """Give a sidecar that has loaded `text`, whose keys are in `folder`.

        Those of one `key` differ in nothing that needs a restart. AssertionError if it has ended,
        refuses the configuration, or has messages under way at the end.
        """
        sidecar = await self._free(folder, key, text, options)
        log, ours = sidecar.served.log, replace(sidecar.served)
        self._given.append(ours)
        sidecar.taken = True
        try:
            self._require_running(sidecar)
            log.write_bytes(b"")
            _write(sidecar.place.folder, folder, text(sidecar.place))
            await ours.reload()
            await ours.event(
                "config.loaded"
            )  # whoever searches this log for nothing has the right one
            yield ours
            self._require_running(sidecar)
            await _quiet(ours)
        except BaseException:
            self._sidecars[key].remove(sidecar)
            ours.log = _kept(log, folder)
            sidecar.stack.close()
            raise
        ours.log = _kept(log, folder)
        if any(one["event"] == "store.failed" for one in ours.events):
            # It leaves the store alone for a while: that would be the next test's.
            self._sidecars[key].remove(sidecar)
            sidecar.stack.close()
        sidecar.taken = False

    def told(self) -> Iterator[tuple[str, str]]:
        """Return the logs of all that the test was given, the end of each."""
        for one in self._given:
            yield f"log of a sidecar ({one.log})", one.log.read_text()[-_SHOWN_CHARACTERS:]

    def forget(self) -> None:
        """Begin with another test."""
        self._given.clear()

    def close(self) -> None:
        """End all sidecars."""
        while self._sidecars:
            for sidecar in self._sidecars.popitem()[1]:
                sidecar.stack.close()

    async def _free(
        self, folder: Path, key: object, text: Text, options: tuple[str, ...]
    ) -> _Sidecar:
        """Return a sidecar that no test has at present, a new one if there is none."""
        sidecars = self._sidecars.setdefault(key, [])
        for one in sidecars:
            if not one.taken:
                return one
        with ExitStack() as stack:
            place = Place(
                Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealyard-"))),
                *(free_port(), free_port(), free_port()),
            )
            process = running(
                place.folder,
                _write(place.folder, folder, text(place)),
                *options,
                port=place.port,
                admin=place.admin,
                health=place.health,
            )
            ours = stack.enter_context(process)
            await ours.event("server.ready")
            sidecars.append(_Sidecar(place, ours, stack.pop_all()))
        return sidecars[-1]

    @staticmethod
    def _require_running(sidecar: _Sidecar) -> None:
        status = sidecar.served.process.poll()
        assert status is None, f"the shared sidecar has ended with {status}"


def _write(place: Path, folder: Path, text: str) -> str:
    """Write a configuration for the sidecar, and for commands in the folder of the test."""
    text = _RELATIVE.sub(f"{folder}/", text)
    for one in (place, folder):
        (one / "sealyard.yaml").write_text(text)
    return text


def _kept(log: Path, folder: Path) -> Path:
    """Keep a log in the folder of its test: the next test empties it."""
    copy = folder / "sealyard.log"
    shutil.copyfile(log, copy)
    return copy


async def _quiet(ours: Served) -> None:
    """Wait until no message is under way: what it comes to must stand in the log of its test."""
    until = time.monotonic() + _QUIET_SECONDS
    while found := _UNDER_WAY.findall(await ours.metrics()):
        assert time.monotonic() < until, f"messages are under way at the end: {found}"
        await asyncio.sleep(0.02)


POOL: Final = Pool()


@contextmanager
def closing() -> Iterator[None]:
    """End all sidecars at the end of the block."""
    try:
        yield
    finally:
        POOL.close()


@asynccontextmanager
async def shared(
    folder: Path, upstream: int, *options: str, **wanted: Unpack[Wanted]
) -> AsyncIterator[Served]:
    """Give a running sidecar with new keys and this configuration, until the end of the block."""
    write_keys(folder)
    fixed = (options, *(wanted.get(name) for name in ("admin_more", "keys_more", "health_more")))

    def text(place: Place) -> str:
        listen = f"127.0.0.1:{place.port}"
        return configured(upstream, listen, place.admin, place.health, wanted)

    async with POOL.taken(folder, fixed, text, *options) as ours:
        yield ours
