"""`sealyard keys rotate-index`: the secret of searches, and its next generation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import Run, invoke


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sealyard keys` in a folder with a keyring."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, status: int = 0) -> Result:
        return invoke("keys", *words, "--root-file", "root.key", status=status)

    run("init")
    return run


def test_a_generation_is_made_replaced_and_dropped(run: Run) -> None:
    assert "no former generation" in run("rotate-index", "--drop", status=1).stderr
    assert "go by generation 1 of the index; values get tags up to 1" in run("rotate-index").stderr
    assert "go by generation 1 of the index; values get tags up to 2" in run("rotate-index").stderr
    assert "drop the former one" in run("rotate-index", status=1).stderr
    assert "nothing was proven" in run("rotate-index", "--drop", status=1).stderr
    anyway = ("rotate-index", "--drop", "--unproven")
    assert "generation 1 of the index is removed" in run(*anyway, status=2).stderr
    told = run(*anyway, "--yes").stderr
    assert "go by generation 2 of the index; values get tags up to 2" in told
    events = [json.loads(one) for one in Path("keyring.jwe.audit").read_text().splitlines()]
    told_events = [one["event"] for one in events if "index" in one["event"]]
    assert told_events == ["keys.rotate-index"] * 2 + ["keys.index-drop"]
    assert events[-1]["index"] == "1"


def test_values_of_the_equal_form_turn_and_options_belong_together(run: Run) -> None:
    assert "no former generation" in run("rotate-index", "--turn", status=1).stderr
    run("rotate-index")
    assert "`form: equal` goes by generation 1" in run("rotate-index").stderr
    assert "`form: equal` goes by generation 2" in run("rotate-index", "--turn").stderr
    for words in (["--turn", "--drop"], ["--unproven"]):
        assert "go with --drop" in run("rotate-index", *words, status=2).stderr
