from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import invoke

GOOD = Path(__file__).parents[3] / "config" / "sealyard.yaml"


def test_a_good_configuration_is_valid() -> None:
    assert "is valid" in invoke("validate", "--config", str(GOOD)).stderr


def test_every_mistake_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "sealyard.yaml"
    file.write_text(GOOD.read_text().replace("encrypt:", "encript:").replace("store:", "stor:"))

    result = invoke("validate", "--config", str(file), status=1)

    lines = [line for line in result.stdout.splitlines() if line.startswith(str(file))]
    assert len(lines) >= 2
    assert any("did you mean" in line for line in lines)


def test_json_has_problems_and_warnings(tmp_path: Path) -> None:
    file = tmp_path / "sealyard.yaml"
    file.write_text("version: 1\n")

    result = invoke("validate", "--json", "--config", str(file), status=1)

    answer = json.loads(result.stdout)
    assert (answer["valid"], answer["warnings"]) == (False, [])
    assert answer["problems"]


def test_strict_lets_warnings_count(tmp_path: Path) -> None:
    file = tmp_path / "sealyard.yaml"
    never = "      - name: never\n        match: POST /api/messages\n        request: pass\n"
    text = GOOD.read_text()
    file.write_text(text if text.endswith("\n") else text + "\n")
    with file.open("a") as end:
        end.write(never)

    invoke("validate", "--config", str(file))
    strict = invoke("validate", "--strict", "--config", str(file), status=1)

    assert "warning:" in strict.stdout
