"""`sealyard keys rotate-names` and `keys names`: a name key from its beginning to its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from proxy.keys.keyring import keyring as keyrings
from tests.cli.conftest import Run, invoke


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sealyard keys` in a folder with a keyring."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, status: int = 0) -> Result:
        return invoke("keys", *words, "--root-file", "root.key", status=status)

    run("init")
    return run


def states(run: Run) -> dict[str, str]:
    told = json.loads(run("names", "list", "--json").stdout)["names"]
    return {one["id"]: one["state"] for one in told}


def test_a_name_key_is_next_then_in_use_and_the_former_one_stays(run: Run) -> None:
    ((first, state),) = states(run).items()
    assert state == "in-use"
    assert "run this command again" in run("rotate-names").stderr
    second = next(one for one, state in states(run).items() if state == "next")
    assert f"{second} is the name key" in run("rotate-names").stderr
    assert states(run) == {second: "in-use", first: "former"}
    assert "would open again" in run("names", "list").stdout
    refused = run("names", "drop", first, "--yes", status=1)
    assert f"{first} stays" in refused.stderr
    assert "0 revocations" in refused.stderr
    assert "no other name key is `none`" in run("names", "drop", "none", status=1).stderr


def test_a_former_name_key_is_dropped_when_nothing_needs_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = states(run)
    run("rotate-names")
    run("rotate-names")
    monkeypatch.setattr(keyrings.Keyring, "idle_until", lambda *_: 1 << 40)  # two years later
    assert "nothing needs it: drop it" in run("names", "list").stdout
    assert "is no longer found" in run("names", "drop", first, status=2).stderr
    run("names", "drop", first, "--yes")
    assert first not in states(run)
    events = [json.loads(one) for one in Path("keyring.jwe.audit").read_text().splitlines()]
    told = [one["event"] for one in events if "names" in one["event"]]
    assert told == ["keys.names-next", "keys.rotate-names", "keys.names-drop"]
    assert events[-1]["name"] == first
