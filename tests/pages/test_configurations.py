"""Every YAML and JSON of the pages is what it claims to be: a configuration, a job, cases."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from pathlib import Path
from typing import Final

import pytest
import yaml

from proxy.cli.support.rule_cases import read_cases
from proxy.config.load import parse
from proxy.core.errors import ConfigurationError
from proxy.injector.permissions import Policy, with_exceptions
from proxy.migration.job import reader as job_reader
from tests.pages.blocks import ROOT, Block, blocks
from tests.pages.configurations import kind_of, whole

YAML: Final = [one for one in blocks() if one.language == "yaml"]
JSON: Final = [one for one in blocks() if one.language == "json"]
LEFT_OUT: Final = {
    "projects/…": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
    "key/…": "key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "projects/PROJECT/": "projects/clinic/",
    "projects/NUMBER/": "projects/123456789012/",
    "Pools/POOL": "Pools/pool",
    "providers/PROVIDER": "providers/provider",
}
"""What a page leaves to its reader, and what stands there in this test."""
ENVIRON: Final = {
    "SEALYARD_HEALTH": "127.0.0.1:15021",
    "SEALYARD_LISTEN": "127.0.0.1:8080",
    "SEALYARD_UPSTREAM": "http://127.0.0.1:3000",
}


def filled(text: str) -> str:
    text = textwrap.dedent(text)  # a part of a file keeps its indentation on the page
    for left, one in LEFT_OUT.items():
        text = text.replace(left, one)
    return text


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.name)
def test_a_block_of_yaml_is_what_it_is_shown_as(block: Block, tmp_path: Path) -> None:
    text, file = filled(block.text), tmp_path / "shown.yaml"
    match kind_of(text):
        case "cases":
            file.write_text(text)
            assert read_cases(file).cases
        case "job":
            file.write_text(text)
            shutil.copy(ROOT / "config" / "examples" / "kinto.yaml", tmp_path / "sealyard.yaml")
            job_reader.load(file, {"CLINIC_PASSWORD": "p", "KINTO_AUTHORIZATION": "a"})
        case "exceptions":
            for namespace, words in yaml.safe_load(text)["data"].items():
                (tmp_path / namespace).write_text(words)
            allowed, mistaken = with_exceptions(Policy(), tmp_path)
            assert allowed.allowed
            assert mistaken == ()
        case "prometheus" | "openapi":  # their pages are followed, with these as files
            assert yaml.safe_load(text)
        case "chart":
            _known_to_the_chart(yaml.safe_load(text))
        case _:
            assert problems(whole(text)) == []


def problems(text: str) -> list[str]:
    """Return the mistakes of a configuration."""
    try:
        parse(text, Path("shown.yaml"), ENVIRON)
    except ConfigurationError as error:
        return [*error.problems]
    return []


def _known_to_the_chart(values: dict[str, object]) -> None:
    """Hold values of the chart to its schema, level by level."""
    known = json.loads((ROOT / "helm" / "sealyard" / "values.schema.json").read_text("utf-8"))
    for name, value in values.items():
        part = known["properties"][name]
        assert isinstance(value, dict)
        assert value.keys() <= part["properties"].keys()


@pytest.mark.parametrize("block", JSON, ids=lambda block: block.name)
def test_a_block_of_json_is_json_with_every_member_once(block: Block) -> None:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    assert json.loads(block.text, object_pairs_hook=once)


def test_a_wrong_key_in_a_block_is_found() -> None:
    block = next(one for one in YAML if one.page == "README.md")
    wrong = re.sub(r"\bencrypt\b", "encript", block.text, count=1)

    assert any("encript" in one for one in problems(whole(wrong)))
