from __future__ import annotations

import stat
from pathlib import Path

from click.testing import CliRunner

from proxy.cli import main


def test_what_it_writes_is_valid_private_and_ready(tmp_path: Path) -> None:
    folder = tmp_path / "new"

    result = CliRunner().invoke(main, ["init", str(folder), "--upstream", "http://127.0.0.1:9"])

    assert result.exit_code == 0, result.output
    written = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert written >= {"sealyard.yaml", "keyring.jwe", "root.key", "admin.token"}
    for secret in ("keyring.jwe", "root.key", "admin.token"):
        assert stat.S_IMODE((folder / secret).stat().st_mode) == 0o600
    config = ["--config", str(folder / "sealyard.yaml")]
    assert CliRunner().invoke(main, ["validate", *config]).exit_code == 0
    assert CliRunner().invoke(main, ["keys", "verify", *config]).exit_code == 0


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "root.key").write_text("mine")

    result = CliRunner().invoke(main, ["init", str(tmp_path)])

    assert result.exit_code == 3
    assert [path.name for path in tmp_path.iterdir()] == ["root.key"]
    assert (tmp_path / "root.key").read_text() == "mine"


def test_an_address_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["init", str(tmp_path), "--upstream", "ftp://there"])

    assert result.exit_code != 0
    assert list(tmp_path.iterdir()) == []
