"""Files of lines beside the keyring, each a JSON object of a name and an authenticated record.

A file is beside the keyring, or beside the audit log where the keyring's folder is read-only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ...core.crypto import base64url
from ...core.crypto.secret import RecordKey
from ...core.errors import OpenFailed
from .. import private_file
from ..policy import PENDING_BYTES
from ..stores import records
from ..stores.records import RecordRefused


def files(keyring: Path, audit: Path, suffix: str) -> tuple[Path, ...]:
    """Return where the lines are kept: in the first file that can be written."""
    beside = (path.with_name(path.name + suffix) for path in (keyring, audit))
    return tuple(dict.fromkeys(beside))


def read(path: Path) -> list[str]:
    """Return the lines of a file; raise KeyringError and OSError where it cannot be read."""
    if not path.exists():
        return []
    return private_file.read(path, PENDING_BYTES).decode("utf-8", "replace").splitlines()


def text(lines: Iterable[str]) -> bytes:
    """Return the content of a file of these lines."""
    return "".join(f"{line}\n" for line in lines).encode()


def encode(member: str, name: str, values: bytes, label: bytes, key: RecordKey) -> str:
    """Return the line of a record of `values`; `member` is what the name is called in it."""
    record = base64url.encode(records.sign(values, label, name, key)).decode()
    return json.dumps({member: name, "record": record})


def renew(path: Path, member: str, label: bytes, key: RecordKey) -> None:
    """Sign anew what a record key has signed that still verifies beside the one in use.

    Raises KeyringError and OSError where the file cannot be read or written.
    """
    own = RecordKey(key.reveal())

    def renewed(line: str) -> str:
        said = decode(line, member, label, key)
        if said is None or decode(line, member, label, own) is not None:
            return line
        return encode(member, *said, label, own)

    if not path.exists():
        return
    with private_file.locked(path):
        lines = read(path)
        after = list(map(renewed, lines))
        if after != lines:
            private_file.write(path, text(after))


def decode(line: str, member: str, label: bytes, key: RecordKey) -> tuple[str, bytes] | None:
    """Return the name and values of a line; None where a holder of the keyring did not write it."""
    try:
        said = json.loads(line)
        name = str(said[member])
        return name, records.verified(base64url.decode(said["record"].encode()), label, name, key)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    except (OpenFailed, RecordRefused, RecursionError):  # no base64url, another keyring's, nested
        return None
