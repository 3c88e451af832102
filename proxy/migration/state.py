"""The state file of a run: how far each part has come, so that a later run goes on from there.

It is one line of JSON and an HMAC by the keyring's record key over it, the job, the verb and the
place: the state of another job, database or keyring is refused, and so is one that was edited. An
older state does no harm, since rows are recognised again; `verify` looks at every row in any case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..core.crypto import base64url
from ..core.crypto.secret import RecordKey
from ..core.errors import MigrationFailed, OpenFailed
from ..keys import private_file
from ..keys.stores import records
from ..keys.stores.records import RecordRefused
from .engine import RowRange
from .values.states import Tally
from .values.treatment import Key

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
        return [_part(one) for one in json.loads(line)["parts"]]

    def write(self, parts: Sequence[RowRange]) -> None:
        """Replace the file."""
        line = json.dumps({"parts": [_said(one) for one in parts]}).encode()
        tag = records.sign(line, _LABEL, self._identity, self._key)[len(line) :]
        private_file.write(self.path, line + b" " + base64url.encode(tag) + b"\n")

    def remove(self) -> None:
        """Remove the file: the run is complete."""
        self.path.unlink(missing_ok=True)


def _said(part: RowRange) -> dict[str, Any]:
    return {
        "table": part.table,
        "after": _key_said(part.after),
        "until": _key_said(part.until),
        "done": part.done,
        "tally": part.tally.to_json(),
    }


def _part(said: Mapping[str, Any]) -> RowRange:
    return RowRange(
        said["table"],
        _key_read(said["after"]),
        _key_read(said["until"]),
        said["done"],
        Tally.from_json(said["tally"]),
    )


def _key_said(key: Key | None) -> object:
    if key is None:
        return None
    return [{"hex": one.hex()} if isinstance(one, bytes) else one for one in key]


def _key_read(said: Any) -> Key | None:  # noqa: ANN401 - what `_key_said` made
    if said is None:
        return None
    return tuple(bytes.fromhex(one["hex"]) if isinstance(one, dict) else one for one in said)
