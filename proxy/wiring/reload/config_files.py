"""The files that a configuration depends on, and how a change of one is detected."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...config.settings import AdminSettings, Loaded, Settings
from ...config.values import files_in
from ...core.errors import ConfigurationError
from ..policy import HANDED_BYTES, LONGEST_WATCH, MOST_SETTLING, SETTLE_SECONDS, WATCH_SECONDS
from . import reading

Fingerprint = tuple[tuple[str, tuple[int, ...]], ...]
"""Each path with the identity, size and times of the file that it leads to."""


def fingerprint(paths: Iterable[Path]) -> Fingerprint:
    """Return the state of the files now; it differs after any change of one.

    Links are followed: Kubernetes swaps a link to publish a new ConfigMap or Secret.
    """
    return tuple((str(path), _state(path)) for path in paths)


def all_files(configuration: Path, settings: Settings) -> tuple[Path, ...]:
    """Return every file that a reload reads."""
    tls = [(one.tls, one.upstream_tls, one.callers) for one in settings.listeners]
    found = files_in(configuration, settings.keys.keyring, *tls, *_of_admin(settings.admin))
    return tuple(dict.fromkeys(found))


def _of_admin(settings: AdminSettings | None) -> tuple[object, ...]:
    """Return what has the files with credentials of the admin API."""
    if settings is None:
        return ()
    # Not the token for the API server, which is read for each review.
    authority = settings.kubernetes.ca if settings.kubernetes is not None else None
    return settings.tls, settings.tokens, authority


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        return (-(error.errno or 1),)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Watch:
    """Polls files once a second, which works on every file system and with swapped links."""

    def __init__(
        self,
        files: Callable[[], tuple[Path, ...]],
        changed: Callable[[], Awaitable[object]],
        *,
        seen: Fingerprint | None = None,
        interval: float = WATCH_SECONDS,
    ) -> None:
        """Await `changed` after each change of what `files` returns.

        `seen` is the state of the files before they were read, None where it is that of now.
        """
        self._files = files
        self._changed = changed
        self._interval = interval
        self._seen: Fingerprint = fingerprint(files()) if seen is None else seen
        self._pause = 0.0
        self._due = math.inf

    def skip(self) -> None:
        """Note the files as they are: a reload for another reason reads them now."""
        self._seen, self._due = fingerprint(self._files()), math.inf

    def end(self, *, again: bool) -> None:
        """Note what came of a reload: with `again`, its files are taken for changed once more.

        That is after a pause, which doubles from one such end to the next.
        """
        longest = LONGEST_WATCH * self._interval
        self._pause = min(2 * self._pause or self._interval, longest) if again else 0.0
        self._due = time.monotonic() + self._pause if again else math.inf

    async def run(self) -> None:
        """Watch until cancelled; what fails is tried again, and reported once in a row."""
        failing, ended = False, threading.Event()
        try:
            while True:
                try:
                    await self._follow(ended)
                except Exception as error:  # noqa: BLE001 - the loop must go on, whatever a machine does
                    if not failing:
                        context = {"message": "watching files failed", "exception": error}
                        asyncio.get_running_loop().call_exception_handler(context)
                    failing = True
                    await asyncio.sleep(self._interval)
                else:
                    failing = False
        finally:
            ended.set()

    async def _follow(self, ended: threading.Event) -> None:
        """Await `changed` once the files have changed; whatever it raises, they still have."""
        found = await asyncio.to_thread(lambda: self._changed_state(ended))
        before, self._seen, self._due = self._seen, await self._settled(found), math.inf
        try:
            await self._changed()
        except BaseException:
            self._seen = before
            raise

    def _changed_state(self, ended: threading.Event) -> Fingerprint:
        """Return the state of the files once it is another, or to be taken for one.

        In a thread, since a mounted volume may hang; and all of it, so that the loop of the traffic
        is not woken each second.
        """
        while not ended.wait(self._interval):
            found = fingerprint(self._files())
            if found != self._seen or time.monotonic() >= self._due:
                return found
        return self._seen

    async def _settled(self, found: Fingerprint) -> Fingerprint:
        """Return the state once it no longer changes: a file may be half written."""
        for _ in range(MOST_SETTLING):
            await asyncio.sleep(SETTLE_SECONDS)
            again = await self._look()
            if again == found:
                break
            found = again
        return found

    async def _look(self) -> Fingerprint:
        return await asyncio.to_thread(lambda: fingerprint(self._files()))


@dataclass(frozen=True)
class Source:
    """One state of a configuration file.

    `seen` is the state of every file that a reload reads, from before it was read: whoever watches
    them goes on from there.
    """

    loaded: Loaded
    text: str
    seen: Fingerprint = ()

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the text, in hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @staticmethod
    def handed_over(written: str) -> Source:
        """Return what a supervisor has read: its `hand_over`.

        Raises InternalError where that is another version of Sealyard.
        """
        found = reading.unpacked(base64.b64decode(written))
        assert isinstance(found, Source)  # noqa: S101 - our own code wrote it
        return found

    def hand_over(self) -> str:
        """Return this for a worker, which then reads no configuration.

        Raises ConfigurationError where it is longer than HANDED_BYTES.
        """
        written = base64.b64encode(reading.packed(self)).decode()
        if len(written) > HANDED_BYTES:
            size, most = (f"{one / 2**20:.1f} MiB" for one in (len(written), HANDED_BYTES))
            problem = (
                f"{self.loaded.file}: its {self.rules:,} rules take {size} to be handed to a worker"
                f" process, which takes at most {most}: serve it without `--workers`, or write"
                " fewer rules"
            )
            raise ConfigurationError((problem,))
        return written

    @property
    def rules(self) -> int:
        """How many rules there are, over all listeners."""
        return sum(len(one.rules) for one in self.loaded.settings.listeners)


def read(path: Path, environ: Mapping[str, str]) -> Source:
    """Return the state of the file at `path`.

    Raises ConfigurationError with all its problems, and InternalError where it was not read.
    """
    before = fingerprint((path,))
    text, loaded = reading.read(path, environ)
    # The others are read later, by whoever uses the settings.
    _, *others = all_files(path, loaded.settings)
    return Source(loaded, text, (*before, *fingerprint(others)))
