"""What a change to the keyring asks of the fleet before it is made."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from proxy.cli.support import console, keyring_changes
from proxy.cli.support.keyring_options import KeyringPlace
from proxy.keys.audit import AuditLog, file_beside
from proxy.keys.fleet import presence
from proxy.keys.fleet.presence import Reach, Report
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.roots import Roots
from tests.keys.builders import Time, a_keyring, a_root


def a_report(keyring: Keyring, name: str, *, seals: bool = True) -> Report:
    marks = presence.marks_of(keyring, seals=seals)
    return Report(b"8" * 8, 0, keyring.generation, keyring.digest, marks, name=name)


def test_a_kek_that_a_process_still_uses_is_not_destroyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told to go on with an older keyring, although it knows that the KEK is disabled."""
    older = a_keyring("k2")
    keyring = older.promote("k2").disable("k1")
    root = a_root(tmp_path)
    path = tmp_path / "keyring.jwe"
    create_keyring(path, keyring, root)
    place = KeyringPlace(path, Roots((root,)), AuditLog(file_beside(path), Time()))
    rows = [a_report(keyring, "good:1"), a_report(older, "barred:1", seals=False)]
    monkeypatch.setattr(keyring_changes, "fence", lambda *_: Reach(tuple(rows)))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    keyring_changes.require_disabled(place, "k1", None)
    rows.append(a_report(older, "stale:1"))
    with pytest.raises(console.Failure, match="k1 is in use in stale:1"):
        keyring_changes.require_disabled(place, "k1", None)


@pytest.mark.parametrize("verb", ["everywhere", "disabled"])  # `promote` and `destroy`
def test_beside_a_row_that_nobody_can_read_nothing_is_promoted_or_destroyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """It is of a live process with another record key, of whose KEKs nothing is known."""
    keyring = a_keyring("k2").promote("k2").disable("k1")
    root, path = a_root(tmp_path), tmp_path / "keyring.jwe"
    create_keyring(path, keyring, root)
    place = KeyringPlace(path, Roots((root,)), AuditLog(file_beside(path), Time()))
    rows = a_report(keyring, "good:1"), a_report(keyring, "good:2")
    monkeypatch.setattr(keyring_changes, "fence", lambda *_: Reach(rows, ("unreadable row p1",)))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    asks = getattr(keyring_changes, f"require_{verb}")
    with pytest.raises(console.Failure, match="unreadable row p1"):
        asks(place, "k2" if verb == "everywhere" else "k1", None)
