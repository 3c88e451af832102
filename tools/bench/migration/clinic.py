"""A clinic's table in a real database, a writer beside a run, and what must hold after it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from proxy.core.crypto import token
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.search.tags import IndexKeys, behind
from proxy.core.search.words import words
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.sessions.durable import durable_session

ROWS_OF_A_CONVERSATION: Final = 100
LETTER_BYTES: Final = 200
CANARY: Final = b"canary letter "
"""What each letter begins with, and nothing else has."""
_PAGE: Final = 1000

Execute = Callable[[str, tuple[object, ...]], list[tuple[Any, ...]]]
Connect = Callable[[], AbstractContextManager[Execute]]


def letter(number: int, version: int = 0) -> str:
    """Return the text of a row, of 200 bytes; no two are equal."""
    return f"{CANARY.decode()}{number} version {version} ".ljust(LETTER_BYTES, "x")


Row = tuple[int, str, str, str]
"""Number, organization, conversation and content."""


def row(number: int, version: int = 0) -> Row:
    """Return a row as it is before it is sealed."""
    return number, "clinic", f"c{number // ROWS_OF_A_CONVERSATION}", letter(number, version)


def held(execute: Execute, rows: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that the table has of the first so many."""
    for first in range(1, rows + 1, _PAGE):
        yield from execute(
            "SELECT id, org, conversation, content FROM messages WHERE id >= %s AND id < %s",
            (first, min(first + _PAGE, rows + 1)),
        )


def counted(execute: Execute) -> int:
    """Return how many rows the table has."""
    ((count,),) = execute("SELECT count(*) FROM messages", ())
    return int(count)


def context(number: int) -> Context:
    """Return what the text of a row is bound to."""
    return Context(Scope("clinic", f"c{number // ROWS_OF_A_CONVERSATION}"), "content")


JOB: Final = """\
version: 1
source:
  {source}
tables:
  - table: messages
    tenant: column:org
    conversation: column:conversation
    columns: [{{column: content}}]
"""


def tags_of(index: Sequence[IndexKeys], number: int, version: int = 0) -> list[str]:
    """Return the tags of all words of a row, of each generation."""
    bound, found = context(number), words(letter(number, version))
    return [tag for one in index for tag in one.word_tags(bound.scope, "content", found)]


@dataclass(slots=True)
class Spent:
    """Seconds of the threads of a writer: computing, ready without a processor, and in all."""

    computing: float = 0.0
    ready: float = 0.0
    whole: float = 0.0

    def __str__(self) -> str:
        """Say what a writer waited for: what is left is the database, or its own pace."""
        shares = (round(100 * one / self.whole) for one in (self.computing, self.ready))
        return "{}% computing, {}% waiting for a processor".format(*shares)


@dataclass(slots=True)
class Writer:
    """An application behind its sidecar: it updates rows, sealed, so many times a second.

    It writes each sealed, with the next version of its text, and with the tags of its words if it
    has an `index`, over so many `connections`, each of which has rows of its own. Where it cannot
    write, it raises why when it ends.
    """

    connect: Connect
    keyring: Keyring
    rows: int
    rate: float
    versions: dict[int, int] = field(default_factory=dict)
    index: Sequence[IndexKeys] = ()
    connections: int = 1
    seconds: float = 0.0
    updates: int = 0
    spent: Spent = field(default_factory=Spent)
    _began: float = 0.0
    _failed: list[Exception] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin to write."""
        self._began = time.monotonic()
        for at in range(self.connections):
            self._threads.append(threading.Thread(target=self._run, args=(at,)))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop after the updates that are under way."""
        self._stop.set()
        for one in self._threads:
            one.join()
        self.seconds = time.monotonic() - self._began
        if self._failed:
            raise self._failed[0]

    def _run(self, at: int) -> None:
        try:
            self._write(at)
        except Exception as error:  # noqa: BLE001 - of a thread, raised by the one that waits
            self._failed.append(error)
        computing, ready, _ = Path("/proc/thread-self/schedstat").read_text("ascii").split()
        with self._counting:
            self.spent.computing += int(computing) / 1e9
            self.spent.ready += int(ready) / 1e9
            self.spent.whole += time.monotonic() - self._began

    def _write(self, at: int) -> None:
        sid = int(time.time()).to_bytes(4) + secrets.token_bytes(8)
        sessions: dict[Scope, Session] = {}
        pace, done, own = self.rate / self.connections, 0, range(at + 1, self.rows + 1)
        own = own[:: self.connections]
        with self.connect() as execute:
            while not self._stop.is_set():
                number = secrets.choice(own)
                version = self.versions.get(number, 0) + 1
                bound = context(number)
                session = sessions.get(bound.scope)
                if session is None:
                    session = durable_session(self.keyring.primary, sid, bound.scope)
                    sessions[bound.scope] = session
                sealed = session.seal(letter(number, version).encode(), bound).decode()
                sealed = behind(sealed, tags_of(self.index, number, version))
                execute("UPDATE messages SET content = %s WHERE id = %s", (sealed, number))
                self.versions[number] = version
                done += 1
                with self._counting:
                    self.updates += 1
                self._stop.wait(max(self._began + done / pace - time.monotonic(), 0))


@dataclass(frozen=True, slots=True)
class Left:
    """What is in the table after a run: rows that are wrong, by how."""

    rows: int
    plain: int
    doubled: int
    lost: int


def examine(execute: Execute, keyring: Keyring, rows: int, versions: dict[int, int]) -> Left:
    """Return how many rows are plain, sealed twice, or not what was last written to them.

    A row that is missing is lost, and one too many is doubled.
    """
    plain = doubled = lost = seen = 0
    sessions: dict[tuple[bytes, Scope], Session] = {}
    for number, *names, content in held(execute, rows):
        seen += 1
        if not token.has_prefix(content.encode()):
            plain += 1
            continue
        sealed, bound = token.decode(content.encode()), context(number)
        place = sealed.key_id.sid, bound.scope
        if place not in sessions:
            kek = keyring.entry(str(sealed.key_id.kek_id))
            sessions[place] = durable_session(kek, *place)
        text = sessions[place].open(sealed, bound, time.time()).decode()
        doubled += token.has_prefix(text.encode())
        lost += (number, *names, text) != row(number, versions.get(number, 0))
    count = counted(execute)
    return Left(count, plain, doubled + count - seen, lost + rows - seen)


def changed(execute: Execute, rows: int, versions: dict[int, int]) -> int:
    """Return how many rows of an opened table are missing, too many, or differ in any byte."""
    same = sum(one == row(one[0], versions.get(one[0], 0)) for one in held(execute, rows))
    return max(rows, counted(execute)) - same
