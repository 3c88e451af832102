from __future__ import annotations

import stat
from pathlib import Path

from tests.cli.conftest import invoke


def test_what_it_writes_is_valid_private_and_ready(tmp_path: Path) -> None:
    folder = tmp_path / "new"

    invoke("init", str(folder), "--upstream", "http://127.0.0.1:9")

    written = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert written >= {"sealyard.yaml", "keyring.jwe", "root.key", "admin.token"}
    for secret in ("keyring.jwe", "root.key", "admin.token"):
        assert stat.S_IMODE((folder / secret).stat().st_mode) == 0o600
    config = ["--config", str(folder / "sealyard.yaml")]
    invoke("validate", *config)
    invoke("keys", "verify", *config)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "root.key").write_text("mine")

    invoke("init", str(tmp_path), status=3)

    assert [path.name for path in tmp_path.iterdir()] == ["root.key"]
    assert (tmp_path / "root.key").read_text() == "mine"


def test_an_address_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    invoke("init", str(tmp_path), "--upstream", "ftp://there", status=3)

    assert list(tmp_path.iterdir()) == []
