"""Descriptions of real size and shape: rules that people wrote by hand, and many paths."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import invoke
from tests.description.descriptions import MARKED, an_object, described

ROOT = Path(__file__).parent.parent.parent
DATA = Path(__file__).parent / "data"
CLINIC = ROOT / "config" / "examples" / "clinic.yaml"
LARGEST = 597
"""Paths of the API of the largest backend that Sealyard was tried before."""


@pytest.fixture
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALYARD_PASSPHRASE", "not used")


def test_rules_that_were_written_by_hand_give_no_false_alarm(passphrase: None) -> None:
    done = invoke("contract", "check", str(DATA / "clinic.yaml"), "--config", str(CLINIC))

    assert done.stdout.endswith("10 passed, 0 failed\n")


@pytest.mark.parametrize(
    ("written", "changed", "told"),
    [
        ("$.content, max_chars: 50000", "$.contnt, max_chars: 50000", "a valid request"),
        ("optional $.subject", "optional $.subjct", "$.subject is marked, and no rule seals it"),
        ("POST /api/v1/messages/{id}/reply", "POST /api/v1/messages/{id}/answer", "rule-rejects"),
        ("part:files, ", "", "part:files is marked, and no rule seals it"),
    ],
)
def test_a_mistake_in_rules_that_were_written_by_hand_is_found(
    tmp_path: Path, passphrase: None, written: str, changed: str, told: str
) -> None:
    text = CLINIC.read_text("utf-8")
    assert written in text
    rules = tmp_path / "sealyard.yaml"
    rules.write_text(text.replace(written, changed))

    done = invoke(
        *("contract", "check", str(DATA / "clinic.yaml"), "--config", str(rules)), status=1
    )

    assert told in done.stdout


@pytest.mark.timing
@pytest.mark.parametrize("paths", [60, pytest.param(LARGEST, marks=pytest.mark.slow)])
def test_many_paths_are_made_and_compared(tmp_path: Path, passphrase: None, paths: int) -> None:
    document = described(an_object(a=MARKED, b={"type": "integer"}, c=an_object(d=MARKED)))
    send = document["paths"]["/things"]["post"]
    document["paths"] = {
        f"/things{number}/{{id}}": {"post": {**send, "operationId": f"send{number}"}}
        if number % 3 == 0
        else {"get": {"responses": {"200": {"description": "Well"}}}}
        for number in range(paths)
    }
    description, rules = tmp_path / "openapi.yaml", tmp_path / "sealyard.yaml"
    description.write_text(yaml.safe_dump(document))
    begun = time.process_time()
    rules.write_text(invoke("contract", "make", str(description)).stdout)
    made = time.process_time()
    done = invoke("contract", "check", str(description), "--config", str(rules))
    spent = time.process_time() - made

    assert done.stdout.endswith(f"{paths} passed, 0 failed\n")
    print(f"{paths} paths: made in {made - begun:.1f} s, checked in {spent:.1f} s")  # noqa: T201 - `-rP` measures
    assert spent < 15 * paths / LARGEST + 1  # 3.9 s for the largest
