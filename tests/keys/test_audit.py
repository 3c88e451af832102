from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from proxy.core.errors import UnfitEnvironment
from proxy.keys.audit import AuditLog


def test_each_event_is_a_line_of_a_private_file(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit", lambda: 1_800_000_000.5)
    log.write("keys.add", kek="k2")
    log.write("keys.derive", kid="k2.x")
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["keys.add", "keys.derive"]
    assert lines[0]["at"] == "2027-01-15T08:00:00.500+00:00"
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_what_cannot_be_written_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for path in (tmp_path, tmp_path / "none" / "audit", tmp_path / "link", Path("/dev/null")):
        with pytest.raises(UnfitEnvironment):
            AuditLog(path, lambda: 0.0).write("keys.add")
    monkeypatch.setattr(os, "write", lambda *_: 1)
    with pytest.raises(UnfitEnvironment):
        AuditLog(tmp_path / "audit", lambda: 0.0).write("keys.add")
