"""The state file of a run: how far each part has come, so that a later run goes on from there.

It is one line of JSON and an HMAC by the keyring's record key over it, the job, the verb and the
place: the state of another job, database or keyring is refused, and so is one that was edited. One
of before another task has written bears another mark, and counts for nothing. An older state does
no harm, since rows are recognised again; `verify` looks at every row in any case.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..core.crypto import base64url
from ..core.crypto.secret import RecordKey
from ..core.errors import MigrationFailed, OpenFailed
from ..keys import private_file
from ..keys.keyring.kek import RandomBytes
from ..keys.stores import records
from ..keys.stores.records import RecordRefused
from .engine import RowRange

_LABEL: Final = b"sealyard/v1/migration-state\x00"
_MARK_BYTES: Final = 16


class StateFile:
    """Reads and writes the state of one run; `identity` is what it must be of.

    One with another `mark` is as none: another task may have undone what it says is done.
    """

    def __init__(self, path: Path, identity: str, key: RecordKey, mark: str = "") -> None:
        """Take the path; nothing is read yet."""
        self.path = path
        self._identity = identity
        self._key = key
        self._mark = mark

    def read(
        self, places: Sequence[str] | None = None, editions: Sequence[str] = ()
    ) -> list[RowRange] | None:
        """Return the parts; None where there are none.

        Raises MigrationFailed for another's. `places` are the names of the sources, once they are
        open: then they must be the ones that were written. Those of other `editions` are as none:
        rows that were left have other keys by now.
        """
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        line, _, tag = text.strip().rpartition(b" ")
        try:
            records.verified(line + base64url.decode(tag), _LABEL, self._identity, self._key)
        except (RecordRefused, OpenFailed):
            raise self._refused() from None
        said = json.loads(line)
        if said["mark"] != self._mark:
            return None
        if places is not None and said["places"] != list(places):
            raise self._refused()
        if places is not None and said["editions"] != list(editions):
            return None
        return [RowRange.from_json(one) for one in said["parts"]]

    def write(
        self, parts: Sequence[RowRange], places: Sequence[str] = (), editions: Sequence[str] = ()
    ) -> None:
        """Replace the file."""
        said = {
            "mark": self._mark,
            "places": places,
            "editions": editions,
            "parts": [one.to_json() for one in parts],
        }
        line = json.dumps(said).encode()
        tag = records.sign(line, _LABEL, self._identity, self._key)[len(line) :]
        private_file.write(self.path, line + b" " + base64url.encode(tag) + b"\n")

    def remove(self) -> None:
        """Remove the file: the run is complete."""
        self.path.unlink(missing_ok=True)

    def _refused(self) -> MigrationFailed:
        detail = f"{self.path} is of another job, place or keyring; remove it to begin anew"
        return MigrationFailed("state-refused", detail=detail)


def mark_of(file: Path, task: str) -> str:
    """Return the mark of a task that was the last one to write; empty if it was not."""
    try:
        said = json.loads(file.read_bytes())
        return str(said["mark"]) if said["verb"] == task else ""
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return ""


def begin_to_write(file: Path, task: str, *, random: RandomBytes) -> str:
    """Return the mark of a task, a new one unless it was the last one to write.

    A task is a verb, and for `reseal` a KEK. Raises KeyringError where the file cannot be written:
    other tasks would not know of this one.
    """
    mark = mark_of(file, task)
    if not mark:
        mark = random(_MARK_BYTES).hex()
        private_file.write(file, json.dumps({"verb": task, "mark": mark}).encode() + b"\n")
    return mark
