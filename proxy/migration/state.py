"""The state file of a run: how far each part has come, so that a later run goes on from there.

It is one line of JSON and an HMAC by the keyring's record key over it, the job, the verb and the
place: the state of another job, database or keyring is refused, and so is one that was edited. An
older state does no harm, since rows are recognised again; `verify` looks at every row in any case.
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
from ..keys.stores import records
from ..keys.stores.records import RecordRefused
from .engine import RowRange

_LABEL: Final = b"sealyard/v1/migration-state\x00"
MOST_BYTES: Final = 16 << 20


class StateFile:
    """Reads and writes the state of one run; `identity` is what it must be of."""

    def __init__(self, path: Path, identity: str, key: RecordKey) -> None:
        """Take the path; nothing is read yet."""
        self.path = path
        self._identity = identity
        self._key = key

    def read(self) -> list[RowRange] | None:
        """Return the parts; None where there is no file. Raises MigrationFailed for another's."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        line, _, tag = text.strip().rpartition(b" ")
        try:
            records.verified(line + base64url.decode(tag), _LABEL, self._identity, self._key)
        except (RecordRefused, OpenFailed):
            raise MigrationFailed(
                "state-refused",
                detail=f"{self.path} is of another job, place or keyring; remove it to begin anew",
            ) from None
        return [RowRange.from_json(one) for one in json.loads(line)["parts"]]

    def write(self, parts: Sequence[RowRange]) -> None:
        """Replace the file."""
        line = json.dumps({"parts": [one.to_json() for one in parts]}).encode()
        tag = records.sign(line, _LABEL, self._identity, self._key)[len(line) :]
        private_file.write(self.path, line + b" " + base64url.encode(tag) + b"\n")

    def remove(self) -> None:
        """Remove the file: the run is complete."""
        self.path.unlink(missing_ok=True)
